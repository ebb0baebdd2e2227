-- Question:   Of the customers who first bought in a month, how many buy again in later ones?
-- Grain:      One row per month and cohort: the month of a customer's first completed sale.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open: one calendar month; all days before it are read, too).
-- A customer is retained in a month with a completed sale in it. A cohort's own month is month 0, and all are retained.
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
