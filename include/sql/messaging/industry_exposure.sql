-- Question:   What is the month's revenue of each industry, and its share of the total?
-- Grain:      One row per month and industry. Industries without traffic have zero revenue.
-- Inputs:     messaging.traffic_as_of, messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- Revenue of customers who are not in the month's snapshot counts in the industry 'Unknown'.
with customers as (
    select
        customer_id,
        industry
    from messaging.customers_as_of(%(period_end)s)
),

traffic as (
    select
        customer_id,
        revenue_eur
    from messaging.traffic_as_of(%(period_end)s)
    where send_date >= %(period_start)s and send_date < %(period_end)s
),

customer_revenue as (
    select
        customer_id,
        sum(revenue_eur) as revenue_eur
    from traffic
    group by customer_id
),

customer_exposure as (
    select
        customers.customer_id as listed_customer_id,
        coalesce(customers.industry, 'Unknown') as industry,
        coalesce(customer_revenue.revenue_eur, 0) as revenue_eur
    from customers
    full outer join customer_revenue on customers.customer_id = customer_revenue.customer_id
    where customers.customer_id is not null or customer_revenue.revenue_eur <> 0
),

industries as (
    select
        industry,
        sum(revenue_eur)::numeric(16, 2) as revenue_eur,
        count(listed_customer_id) as customers_count
    from customer_exposure
    group by industry
),

ranked as (
    select
        *,
        coalesce(
            round(100 * revenue_eur / nullif(sum(revenue_eur) over (), 0), 4), 0
        )::numeric(7, 4) as revenue_share_pct,
        row_number() over (order by revenue_eur desc, industry collate "C" asc) as industry_rank
    from industries
)

select
    %(period_start)s::date as month,
    industry,
    revenue_eur,
    revenue_share_pct,
    customers_count,
    industry_rank
from ranked
order by industry_rank
