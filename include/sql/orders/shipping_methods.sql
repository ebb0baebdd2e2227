-- Question:   Which shipping method is most common in each category?
-- Grain:      One row per landing day and category.
-- Inputs:     orders.lines.
-- Parameters: period_start, period_end (dates, half-open: one landing day).
-- The most common method is the one with the most orders. A tie goes to the first by name and sets is_tied.
with order_lines as (
    select
        order_id,
        category,
        ship_mode
    from orders.lines
    where landed_on >= %(period_start)s and landed_on < %(period_end)s
),

categories as (
    select
        category,
        count(distinct order_id) as category_orders_count
    from order_lines
    group by category
),

methods as (
    select
        category,
        ship_mode,
        count(distinct order_id) as orders_count
    from order_lines
    where ship_mode is not null
    group by category, ship_mode
),

ranked as (
    select
        *,
        row_number() over (partition by category order by orders_count desc, ship_mode asc) as method_rank,
        count(*) over (partition by category, orders_count) > 1 as is_tied
    from methods
)

select
    %(period_start)s::date as day,
    categories.category,
    ranked.ship_mode,
    categories.category_orders_count,
    coalesce(ranked.orders_count, 0) as orders_count,
    coalesce(ranked.is_tied, false) as is_tied
from categories
left join ranked on categories.category = ranked.category and ranked.method_rank = 1
order by categories.category
