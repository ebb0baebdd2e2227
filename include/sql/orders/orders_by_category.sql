-- Question:   How many orders does each category and sub-category have?
-- Grain:      One row per landing day, category and sub-category.
-- Inputs:     orders.lines.
-- Parameters: period_start, period_end (dates, half-open: one landing day).
-- An order counts once in each category and once in each sub-category of its products.
with order_lines as (
    select
        order_id,
        category,
        sub_category
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

sub_categories as (
    select
        category,
        sub_category,
        count(distinct order_id) as orders_count,
        count(*) as lines_count
    from order_lines
    group by category, sub_category
)

select
    %(period_start)s::date as day,
    sub_categories.category,
    sub_categories.sub_category,
    sub_categories.orders_count,
    categories.category_orders_count,
    sub_categories.lines_count
from sub_categories
inner join categories on sub_categories.category = categories.category
order by sub_categories.category, sub_categories.sub_category
