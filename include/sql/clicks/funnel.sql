-- Question:   How many of the day's sessions reach each step towards a purchase, and where do they end?
-- Grain:      One row per day and step. The first step is the session itself.
-- Inputs:     clicks.clickstream.
-- Parameters: period_start, period_end (one day, half-open), starts_at, ends_at (the same as instants), timezone.
-- Counts sessions, not events. A session counts on the day on which it began. Events of the next day count, so midnight
-- does not cut a session. A step is reached by an event at or after the instant at which the previous step was reached.
with events as (
    select *
    from clicks.clickstream
    where
        ts >= to_utc_timestamp(date_sub(:period_start, 1), :timezone)
        and ts < to_utc_timestamp(date_add(:period_end, 1), :timezone)
),

with_product_view as (
    select
        *,
        min(ts) over of_session as started_at,
        min(if(event_type = 'product_view', ts, null)) over of_session as product_view_at
    from events
    window of_session as (partition by session_id)
),

with_cart as (
    select
        *,
        min(if(event_type = 'add_to_cart' and ts >= product_view_at, ts, null)) over of_session as add_to_cart_at
    from with_product_view
    where started_at >= :starts_at and started_at < :ends_at
    window of_session as (partition by session_id)
),

with_checkout as (
    select
        *,
        min(if(event_type = 'checkout' and ts >= add_to_cart_at, ts, null)) over of_session as checkout_at
    from with_cart
    window of_session as (partition by session_id)
),

sessions as (
    select
        session_id,
        max(product_view_at) is not null as reached_product_view,
        max(add_to_cart_at) is not null as reached_add_to_cart,
        max(checkout_at) is not null as reached_checkout,
        coalesce(bool_or(event_type = 'purchase' and ts >= checkout_at), false) as reached_purchase
    from with_checkout
    group by session_id
),

counts as (
    select
        count(*) as sessions,
        count_if(reached_product_view) as product_views,
        count_if(reached_add_to_cart) as carts,
        count_if(reached_checkout) as checkouts,
        count_if(reached_purchase) as purchases
    from sessions
),

numbered as (
    select
        sessions as all_sessions_count,
        stack(
            5,
            1, 'session', sessions,
            2, 'product_view', product_views,
            3, 'add_to_cart', carts,
            4, 'checkout', checkouts,
            5, 'purchase', purchases
        ) as (step_number, step, sessions_count)
    from counts
),

steps as (
    select
        *,
        coalesce(lag(sessions_count) over (order by step_number), all_sessions_count) as previous_sessions_count
    from numbered
)

select
    :period_start as day,
    step_number,
    step,
    sessions_count,
    previous_sessions_count - sessions_count as lost_sessions_count,
    round(100.0 * sessions_count / all_sessions_count, 4) as share_of_sessions_pct,
    round(100.0 * sessions_count / nullif(previous_sessions_count, 0), 4) as share_of_previous_step_pct
from steps
where all_sessions_count > 0
order by step_number
