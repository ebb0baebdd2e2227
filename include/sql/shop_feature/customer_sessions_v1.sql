-- Question:   How often did each customer visit the shop lately, with which device, and with what result?
-- Grain:      One row per day and customer with a session that began in the thirty days before the day.
-- Inputs:     shop_star.fact_sessions.
-- Parameters: period_start (the day after the thirty), ends_at (its end).
-- A session may last until the end of the day after its first one. A session that began on the day itself may therefore
-- still go on after the day, and does not count yet: the row must not know the future. Anonymous sessions do not count.
with sessions as (
    select
        customer_id,
        session_id,
        session_date,
        started_at,
        events,
        reached_add_to_cart,
        reached_purchase,
        device
    from shop_star.fact_sessions
    where
        session_date >= %(period_start)s::date - 30
        and session_date < %(period_start)s
        and customer_id is not null
)

select
    %(period_start)s::date as day,
    customer_id,
    %(ends_at)s::timestamptz as event_ts,
    %(period_start)s::date - max(session_date) as days_since_session,
    count(*) filter (where session_date >= %(period_start)s::date - 7) as sessions_7_days,
    count(*) as sessions_30_days,
    round(avg(events), 2)::numeric(12, 2) as events_per_session_30_days,
    round(100.0 * count(*) filter (where reached_add_to_cart) / count(*), 4)::numeric(7, 4) as cart_share_30_days_pct,
    round(100.0 * count(*) filter (where reached_purchase) / count(*), 4)::numeric(7, 4) as conversion_30_days_pct,
    (array_agg(device order by started_at desc, session_id desc))[1] as last_device
from sessions
group by customer_id
order by customer_id
