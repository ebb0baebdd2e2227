-- Question:   Which pages do the day's sessions visit, and where do they begin and end?
-- Grain:      One row per day and page.
-- Inputs:     clicks.clickstream.
-- Parameters: period_start, period_end (one day, half-open), starts_at, ends_at (the same as instants), timezone.
-- A session counts on the day on which it began. Events of the next day count, so midnight does not cut a session.
-- Events at the same instant follow the order of their ids.
with events as (
    select *
    from clicks.clickstream
    where
        ts >= to_utc_timestamp(date_sub(:period_start, 1), :timezone)
        and ts < to_utc_timestamp(date_add(:period_end, 1), :timezone)
),

numbered as (
    select
        *,
        min(ts) over (partition by session_id) as started_at,
        row_number() over (partition by session_id order by ts, event_id) as from_start,
        row_number() over (partition by session_id order by ts desc, event_id desc) as from_end
    from events
),

visits as (
    select
        *,
        count_if(from_start = 1) over () as all_sessions_count
    from numbered
    where started_at >= :starts_at and started_at < :ends_at
),

pages as (
    select
        page,
        count(*) as views_count,
        count(distinct session_id) as sessions_count,
        count(distinct customer_id) as customers_count,
        count_if(from_start = 1) as entrances_count,
        count_if(from_end = 1) as exits_count,
        max(all_sessions_count) as all_sessions_count
    from visits
    group by page
)

select
    :period_start as day,
    page,
    views_count,
    sessions_count,
    customers_count,
    entrances_count,
    exits_count,
    round(100.0 * entrances_count / all_sessions_count, 4) as share_of_entrances_pct,
    round(100.0 * exits_count / sessions_count, 4) as exit_rate_pct
from pages
order by page
