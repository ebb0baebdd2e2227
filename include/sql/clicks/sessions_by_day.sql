-- Question:   How many sessions begin on the day and how long are they?
-- Grain:      One row per day.
-- Inputs:     clicks.clickstream.
-- Parameters: period_start, period_end (one day, half-open), starts_at, ends_at (the same as instants), timezone.
-- A session counts on the day on which it began. Events of the next day count, so midnight does not cut a session. The
-- first customer who signs in is the customer of the whole session.
with events as (
    select *
    from clicks.clickstream
    where
        ts >= to_utc_timestamp(date_sub(:period_start, 1), :timezone)
        and ts < to_utc_timestamp(date_add(:period_end, 1), :timezone)
),

with_start as (
    select
        *,
        min(ts) over (partition by session_id) as started_at
    from events
),

sessions as (
    select
        session_id,
        count(*) as events,
        unix_micros(max(ts)) - unix_micros(min(ts)) as microseconds,
        min_by(customer_id, struct(ts, event_id)) filter (where customer_id is not null) as customer_id
    from with_start
    where started_at >= :starts_at and started_at < :ends_at
    group by session_id
)

select
    :period_start as day,
    count(*) as sessions_count,
    count(customer_id) as signed_in_sessions_count,
    count(distinct customer_id) as customers_count,
    sum(events) as events_count,
    count_if(events = 1) as single_event_sessions_count,
    round(cast(sum(events) as decimal(19, 0)) / count(*), 4) as average_events,
    round(cast(sum(microseconds) as decimal(19, 0)) / (count(*) * 60000000), 4) as average_minutes
from sessions
having count(*) > 0
