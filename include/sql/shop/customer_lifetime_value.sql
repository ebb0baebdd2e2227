-- Question:   What is the net revenue of each customer from the first sale to the end of the month?
-- Grain:      One row per month and customer with a sale by the end of the month.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open: one calendar month). All earlier days are read, too.
-- The value is historical, not a forecast: the amount of completed sales. An order is a completed transaction. A
-- customer who returned everything has no order and a value of zero.
with sales as (
    select
        customer_id,
        sale_date,
        total_amount,
        status = 'completed' as is_completed
    from shop_star.fact_sales
    where sale_date < %(period_end)s
),

customers as (
    select
        customer_id,
        count(*) filter (where is_completed) as orders_count,
        count(*) filter (where not is_completed) as returned_orders_count,
        sum(total_amount) as gross_revenue,
        coalesce(sum(total_amount) filter (where not is_completed), 0) as returned_revenue,
        coalesce(sum(total_amount) filter (where is_completed), 0) as net_revenue,
        min(sale_date) filter (where is_completed) as first_purchase_date,
        max(sale_date) filter (where is_completed) as last_purchase_date
    from sales
    group by customer_id
)

select
    %(period_start)s::date as month,
    customer_id,
    orders_count,
    returned_orders_count,
    gross_revenue::numeric(18, 2) as gross_revenue,
    returned_revenue::numeric(18, 2) as returned_revenue,
    net_revenue::numeric(18, 2) as net_revenue,
    first_purchase_date,
    last_purchase_date,
    round(net_revenue / nullif(orders_count, 0), 2)::numeric(14, 2) as average_order_value
from customers
order by customer_id
