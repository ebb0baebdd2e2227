-- Question:   Which twenty customers had the highest revenue in the month?
-- Grain:      One row per month and customer with a rank up to 20. Ties at rank 20 are kept.
-- Inputs:     messaging.traffic_as_of, messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
with customers as (
    select
        customer_id,
        customer_name
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
    having sum(revenue_eur) > 0
),

ranked as (
    select
        *,
        rank() over (order by revenue_eur desc) as customer_rank
    from customer_revenue
)

select
    %(period_start)s::date as month,
    ranked.customer_rank,
    ranked.customer_id,
    customers.customer_name,
    ranked.revenue_eur::numeric(16, 2) as revenue_eur
from ranked
left join customers on ranked.customer_id = customers.customer_id
where ranked.customer_rank <= 20
order by ranked.customer_rank, ranked.customer_id
