-- Question:   How many of the day's sessions reach each step towards a purchase, and where do they end?
-- Grain:      One row per day and step. The first step is the session itself.
-- Inputs:     shop_star.fact_sessions.
-- Parameters: period_start, period_end (dates, half-open: one day).
-- Counts sessions, not events. A session reaches the steps in the order of the funnel, so a step never has more
-- sessions than the previous step.
with sessions as (
    select
        reached_product_view,
        reached_add_to_cart,
        reached_checkout,
        reached_purchase
    from shop_star.fact_sessions
    where session_date >= %(period_start)s and session_date < %(period_end)s
),

counts as (
    select
        count(*) as sessions,
        count(*) filter (where reached_product_view) as product_views,
        count(*) filter (where reached_add_to_cart) as carts,
        count(*) filter (where reached_checkout) as checkouts,
        count(*) filter (where reached_purchase) as purchases
    from sessions
),

steps as (
    select
        steps.step_number,
        steps.step,
        steps.sessions_count,
        counts.sessions as all_sessions_count,
        lag(steps.sessions_count, 1, counts.sessions) over (order by steps.step_number) as previous_sessions_count
    from counts
    cross join
        lateral (
            values
            (1, 'session', counts.sessions),
            (2, 'product_view', counts.product_views),
            (3, 'add_to_cart', counts.carts),
            (4, 'checkout', counts.checkouts),
            (5, 'purchase', counts.purchases)
        ) as steps (step_number, step, sessions_count)
)

select
    %(period_start)s::date as day,
    step_number,
    step,
    sessions_count,
    previous_sessions_count - sessions_count as lost_sessions_count,
    round(100.0 * sessions_count / all_sessions_count, 4)::numeric(7, 4) as share_of_sessions_pct,
    round(100.0 * sessions_count / nullif(previous_sessions_count, 0), 4)::numeric(7, 4) as share_of_previous_step_pct
from steps
where all_sessions_count > 0
order by step_number
