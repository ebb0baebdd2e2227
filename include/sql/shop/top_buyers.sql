-- Question:   Which ten customers had the highest net revenue in the month?
-- Grain:      One row per month and customer with a rank up to 10. Ties at rank 10 are kept.
-- Inputs:     shop_star.fact_sales, shop_star.dim_customer.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- Covers completed sales. The country is that of the customer's last purchase of the month.
with sales as (
    select
        customer_id,
        customer_key,
        sale_date,
        total_amount
    from shop_star.fact_sales
    where sale_date >= %(period_start)s and sale_date < %(period_end)s and status = 'completed'
),

customers as (
    select
        customer_key,
        valid_from,
        coalesce(country, 'Unknown') as country
    from shop_star.dim_customer
),

version_totals as (
    select
        customer_id,
        customer_key,
        count(*) as orders_count,
        sum(total_amount) as net_revenue,
        max(sale_date) as last_purchase_date
    from sales
    group by customer_id, customer_key
),

customer_totals as (
    select
        customer_id,
        sum(orders_count)::bigint as orders_count,
        sum(net_revenue) as net_revenue,
        max(last_purchase_date) as last_purchase_date
    from version_totals
    group by customer_id
),

ranked as (
    select
        *,
        rank() over (order by net_revenue desc) as buyer_rank,
        round(100 * net_revenue / sum(net_revenue) over (), 4) as revenue_share_pct
    from customer_totals
),

top as (
    select *
    from ranked
    where buyer_rank <= 10
),

countries as (
    select
        top.customer_id,
        (array_agg(customers.country order by customers.valid_from desc))[1] as country
    from top
    inner join version_totals on top.customer_id = version_totals.customer_id
    inner join customers on version_totals.customer_key = customers.customer_key
    group by top.customer_id
)

select
    %(period_start)s::date as month,
    top.buyer_rank,
    top.customer_id,
    countries.country,
    top.orders_count,
    top.net_revenue::numeric(18, 2) as net_revenue,
    top.revenue_share_pct::numeric(7, 4) as revenue_share_pct,
    top.last_purchase_date
from top
inner join countries on top.customer_id = countries.customer_id
order by top.buyer_rank, top.customer_id
