-- Question:   What is the profit of each region, and which region has the highest?
-- Grain:      One row per landing day and region.
-- Inputs:     orders.lines.
-- Parameters: period_start, period_end (dates, half-open: one landing day).
-- Prices have two decimals and discount factors four, so their products have six. Nothing is rounded.
with order_lines as (
    select
        order_id,
        region,
        quantity,
        cost_price,
        list_price * (1 - discount_percent * 0.01) as sales_price
    from orders.lines
    where landed_on >= %(period_start)s and landed_on < %(period_end)s
),

regions as (
    select
        region,
        sum((sales_price - cost_price) * quantity) as profit,
        sum(sales_price * quantity) as revenue,
        count(distinct order_id) as orders_count,
        count(*) as lines_count
    from order_lines
    group by region
)

select
    %(period_start)s::date as day,
    region,
    profit::numeric(38, 6) as profit,
    revenue::numeric(38, 6) as revenue,
    orders_count,
    lines_count,
    rank() over (order by profit desc) as profit_rank,
    count(*) over (partition by profit) > 1 as is_tied
from regions
order by profit_rank, region
