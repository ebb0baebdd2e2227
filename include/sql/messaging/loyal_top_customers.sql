-- Question:   Which customers of the top tenth have revenue in each of the last twelve months?
-- Grain:      One row per month and customer.
-- Inputs:     messaging.traffic_as_of, messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month, the last of the twelve).
-- The population is all customers with revenue in the twelve months. The top tenth, rounded up and with ties kept, is
-- selected before the filter on the months.
with customers as (
    select
        customer_id,
        customer_name
    from messaging.customers_as_of(%(period_end)s)
),

traffic as (
    select
        customer_id,
        revenue_eur,
        date_trunc('month', send_date::timestamp) as send_month
    from messaging.traffic_as_of(%(period_end)s)
    where
        send_date >= (%(period_start)s::date - interval '11 months')::date
        and send_date < %(period_end)s
),

customer_months as (
    select
        customer_id,
        send_month,
        sum(revenue_eur) as revenue_eur
    from traffic
    group by customer_id, send_month
),

population as (
    select
        customer_id,
        sum(revenue_eur) as revenue_12_months_eur,
        count(*) filter (where revenue_eur > 0) as months_with_revenue
    from customer_months
    group by customer_id
    having sum(revenue_eur) > 0
),

ranked as (
    select
        *,
        rank() over (order by revenue_12_months_eur desc) as customer_rank,
        ceil(0.1 * count(*) over ()) as top_tenth_count
    from population
)

select
    %(period_start)s::date as month,
    ranked.customer_rank,
    ranked.customer_id,
    customers.customer_name,
    ranked.revenue_12_months_eur::numeric(16, 2) as revenue_12_months_eur,
    ranked.months_with_revenue
from ranked
left join customers on ranked.customer_id = customers.customer_id
where ranked.customer_rank <= ranked.top_tenth_count and ranked.months_with_revenue = 12
order by ranked.customer_rank, ranked.customer_id
