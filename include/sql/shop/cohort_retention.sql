-- Question:   How many customers who first bought in a month buy again in later months?
-- Grain:      One row per month and cohort. A cohort is the month of a customer's first completed sale.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open: one calendar month). All earlier days are read, too.
-- A customer with a completed sale in a month is retained in that month. In the cohort's own month all are retained.
with customers as (
    select
        customer_id,
        date_trunc('month', min(sale_date))::date as cohort_month,
        max(sale_date) >= %(period_start)s as is_retained
    from shop_star.fact_sales
    where sale_date < %(period_end)s and status = 'completed'
    group by customer_id
),

cohorts as (
    select
        cohort_month,
        count(*) as customers_count,
        count(*) filter (where is_retained) as retained_count
    from customers
    group by cohort_month
)

select
    %(period_start)s::date as month,
    cohort_month,
    customers_count,
    retained_count,
    (
        12 * (extract(year from %(period_start)s::date) - extract(year from cohort_month))
        + extract(month from %(period_start)s::date) - extract(month from cohort_month)
    )::integer as months_since,
    round(100.0 * retained_count / customers_count, 4)::numeric(7, 4) as retention_pct
from cohorts
order by cohort_month
