-- Question:   What is the revenue of each customer in the last month and quarter, and in the month and year to date?
-- Grain:      One row per month and customer in the month's snapshot or with revenue in one of the periods.
-- Inputs:     messaging.traffic_as_of, messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- All periods are read as of period_end. The last quarter is the last complete one; it includes a month that ends it. A
-- run covers a whole month, so the last month and the month to date are the same days. Quarters and years begin on the
-- first day of a month, so no day is lost or counted twice.
with customers as (
    select
        customer_id,
        customer_name
    from messaging.customers_as_of(%(period_end)s)
),

-- From the start of the previous quarter or of the year, whichever is earlier.
traffic as (
    select
        customer_id,
        send_date,
        revenue_eur
    from messaging.traffic_as_of(%(period_end)s)
    where
        send_date >= least(
            date_trunc('year', %(period_start)s::timestamp),
            date_trunc('quarter', %(period_end)s::timestamp) - interval '6 months'
        )::date
        and send_date < %(period_end)s
        and revenue_eur <> 0
),

quarters as (
    select
        (date_trunc('quarter', %(period_end)s::timestamp) - interval '6 months')::date as previous_start,
        (date_trunc('quarter', %(period_end)s::timestamp) - interval '3 months')::date as last_start,
        date_trunc('quarter', %(period_end)s::timestamp)::date as last_end
),

customer_revenue as (
    select
        traffic.customer_id,
        sum(traffic.revenue_eur) filter (where traffic.send_date >= %(period_start)s) as month_eur,
        sum(traffic.revenue_eur) filter (
            where traffic.send_date >= quarters.last_start and traffic.send_date < quarters.last_end
        ) as last_quarter_eur,
        sum(traffic.revenue_eur) filter (
            where traffic.send_date >= quarters.previous_start and traffic.send_date < quarters.last_start
        ) as previous_quarter_eur,
        sum(traffic.revenue_eur) filter (
            where traffic.send_date >= date_trunc('year', %(period_start)s::timestamp)::date
        ) as year_to_date_eur
    from traffic
    cross join quarters
    group by traffic.customer_id
),

customer_periods as (
    select
        customers.customer_name,
        coalesce(customers.customer_id, customer_revenue.customer_id) as customer_id,
        coalesce(customer_revenue.month_eur, 0)::numeric(16, 2) as month_eur,
        coalesce(customer_revenue.last_quarter_eur, 0)::numeric(16, 2) as last_quarter_eur,
        coalesce(customer_revenue.previous_quarter_eur, 0)::numeric(16, 2) as previous_quarter_eur,
        coalesce(customer_revenue.year_to_date_eur, 0)::numeric(16, 2) as year_to_date_eur
    from customers
    full outer join customer_revenue on customers.customer_id = customer_revenue.customer_id
)

select
    %(period_start)s::date as month,
    customer_id,
    customer_name,
    month_eur as revenue_last_month_eur,
    last_quarter_eur as revenue_last_quarter_eur,
    previous_quarter_eur as revenue_previous_quarter_eur,
    month_eur as revenue_month_to_date_eur,
    year_to_date_eur as revenue_year_to_date_eur,
    round(
        100 * (last_quarter_eur - previous_quarter_eur) / nullif(previous_quarter_eur, 0), 2
    )::numeric(22, 2) as change_quarter_on_quarter_pct
from customer_periods
order by customer_id
