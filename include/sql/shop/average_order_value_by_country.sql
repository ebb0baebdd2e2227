-- Question:   What is the average order value in each country?
-- Grain:      One row per month and country with a completed sale.
-- Inputs:     shop_star.fact_sales, shop_star.dim_customer.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- An order is a completed transaction. It counts in the customer's country at the time of the sale. Customers that no
-- file describes are in the country 'Unknown'.
with sales as (
    select
        customer_key,
        total_amount
    from shop_star.fact_sales
    where sale_date >= %(period_start)s and sale_date < %(period_end)s and status = 'completed'
),

customers as (
    select
        customer_key,
        customer_id,
        coalesce(country, 'Unknown') as country
    from shop_star.dim_customer
),

version_totals as (
    select
        customer_key,
        count(*) as orders_count,
        sum(total_amount) as net_revenue
    from sales
    group by customer_key
),

countries as (
    select
        customers.country,
        count(distinct customers.customer_id) as customers_count,
        sum(version_totals.orders_count)::bigint as orders_count,
        sum(version_totals.net_revenue) as net_revenue
    from version_totals
    inner join customers on version_totals.customer_key = customers.customer_key
    group by customers.country
)

select
    %(period_start)s::date as month,
    country,
    customers_count,
    orders_count,
    net_revenue::numeric(18, 2) as net_revenue,
    round(net_revenue / orders_count, 2)::numeric(14, 2) as average_order_value,
    round(100 * net_revenue / sum(net_revenue) over (), 4)::numeric(7, 4) as revenue_share_pct
from countries
order by country collate "C"
