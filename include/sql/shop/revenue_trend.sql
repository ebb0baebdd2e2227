-- Question:   How does revenue change from day to day, week to week and month to month?
-- Grain:      One row per period and cadence with sales in the period or in the previous one.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open), cadence (day, week or month: the length of the period).
-- An order is a completed transaction. Returned and refunded transactions count in the period of the sale.
with sales as (
    select
        quantity,
        total_amount,
        status = 'completed' as is_completed,
        sale_date >= %(period_start)s as is_of_period
    from shop_star.fact_sales
    where
        sale_date >= (%(period_start)s::date - ('1 ' || %(cadence)s::text)::interval)::date
        and sale_date < %(period_end)s
),

totals as (
    select
        count(*) filter (where is_of_period and is_completed) as orders_count,
        coalesce(sum(quantity) filter (where is_of_period and is_completed), 0) as net_units,
        coalesce(sum(total_amount) filter (where is_of_period), 0) as gross_revenue,
        coalesce(sum(total_amount) filter (where is_of_period and not is_completed), 0) as returned_revenue,
        coalesce(sum(total_amount) filter (where is_of_period and is_completed), 0) as net_revenue,
        coalesce(sum(total_amount) filter (where is_completed and not is_of_period), 0) as previous_net_revenue
    from sales
    having count(*) > 0
)

select
    %(period_start)s::date as period,
    %(cadence)s::text as cadence,
    orders_count,
    net_units,
    gross_revenue::numeric(18, 2) as gross_revenue,
    returned_revenue::numeric(18, 2) as returned_revenue,
    net_revenue::numeric(18, 2) as net_revenue,
    previous_net_revenue::numeric(18, 2) as previous_net_revenue,
    round(100 * (net_revenue - previous_net_revenue) / nullif(previous_net_revenue, 0), 2)::numeric(24, 2) as change_pct
from totals
