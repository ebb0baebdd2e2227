-- Question:   How many orders, sessions and reviews did the shop have on the day, and how much revenue?
-- Grain:      One row per day with a sale, a session or a review.
-- Inputs:     shop_star.fact_sales, shop_star.fact_sessions, shop_star.fact_reviews.
-- Parameters: period_start, period_end (dates, half-open: one day).
-- An order is a completed transaction. Returned and refunded transactions count on the day of the sale. The conversion
-- is the share of sessions that reach a purchase through the funnel. Events are clicks of any type and order.
with sales as (
    select
        customer_id,
        quantity,
        total_amount,
        status = 'completed' as is_completed
    from shop_star.fact_sales
    where sale_date >= %(period_start)s and sale_date < %(period_end)s
),

sessions as (
    select
        customer_id,
        events,
        reached_purchase
    from shop_star.fact_sessions
    where session_date >= %(period_start)s and session_date < %(period_end)s
),

reviews as (
    select rating
    from shop_star.fact_reviews
    where review_date >= %(period_start)s and review_date < %(period_end)s
),

sales_kpis as (
    select
        count(*) as sales_count,
        count(*) filter (where is_completed) as orders_count,
        count(*) filter (where not is_completed) as returned_orders_count,
        coalesce(sum(quantity) filter (where is_completed), 0) as net_units,
        coalesce(sum(total_amount), 0) as gross_revenue,
        coalesce(sum(total_amount) filter (where not is_completed), 0) as returned_revenue,
        coalesce(sum(total_amount) filter (where is_completed), 0) as net_revenue,
        count(distinct customer_id) filter (where is_completed) as customers_count
    from sales
),

session_kpis as (
    select
        count(*) as sessions_count,
        count(customer_id) as signed_in_sessions_count,
        count(*) filter (where reached_purchase) as purchase_sessions_count,
        coalesce(sum(events), 0)::bigint as events_count
    from sessions
),

review_kpis as (
    select
        count(*) as reviews_count,
        avg(rating) as average_rating
    from reviews
)

select
    %(period_start)s::date as day,
    sales_kpis.orders_count,
    sales_kpis.returned_orders_count,
    sales_kpis.net_units,
    sales_kpis.gross_revenue::numeric(18, 2) as gross_revenue,
    sales_kpis.returned_revenue::numeric(18, 2) as returned_revenue,
    sales_kpis.net_revenue::numeric(18, 2) as net_revenue,
    sales_kpis.customers_count,
    session_kpis.sessions_count,
    session_kpis.signed_in_sessions_count,
    session_kpis.purchase_sessions_count,
    session_kpis.events_count,
    review_kpis.reviews_count,
    round(sales_kpis.net_revenue / nullif(sales_kpis.orders_count, 0), 2)::numeric(14, 2) as average_order_value,
    round(100.0 * session_kpis.purchase_sessions_count / nullif(session_kpis.sessions_count, 0), 4)::numeric(7, 4)
        as conversion_pct,
    round(review_kpis.average_rating, 2)::numeric(3, 2) as average_rating
from sales_kpis
cross join session_kpis
cross join review_kpis
where sales_kpis.sales_count + session_kpis.sessions_count + review_kpis.reviews_count > 0
