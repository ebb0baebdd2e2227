-- Question:   What, how often and for how much did each customer order lately, and how did the customer rate it?
-- Grain:      One row per day and customer with a sale or review in the ninety days up to the day.
-- Inputs:     shop_star.fact_sales, shop_star.fact_reviews, shop.products_history.
-- Parameters: period_start, period_end (dates, half-open: one day, the last of the ninety), ends_at (the day's end).
-- An order is a completed sale. Returned and refunded sales count on the day of the sale, because the data has no
-- return date. A sale counts in the product's category in the file of the day of the sale. Products that this file does
-- not have are left out: the star schema would give them the category of a later file.
with sales as (
    select
        customer_id,
        product_id,
        sale_date,
        total_amount,
        status = 'completed' as is_order
    from shop_star.fact_sales
    where sale_date >= %(period_start)s::date - 89 and sale_date < %(period_end)s
),

reviews as (
    select
        customer_id,
        rating
    from shop_star.fact_reviews
    where review_date >= %(period_start)s::date - 89 and review_date < %(period_end)s
),

products as (
    select
        product_id,
        category,
        valid_from,
        valid_to
    from shop.products_history
),

customers as (
    select customer_id
    from sales
    union
    select customer_id
    from reviews
),

order_totals as (
    select
        customer_id,
        count(*) as sales_count,
        %(period_start)s::date - max(sale_date) filter (where is_order) as days_since_order,
        (max(sale_date) filter (where is_order) - min(sale_date) filter (where is_order))::numeric
        / nullif(count(distinct sale_date) filter (where is_order) - 1, 0) as days_between_orders,
        count(*) filter (where is_order and sale_date >= %(period_start)s::date - 6) as orders_7_days,
        count(*) filter (where is_order and sale_date >= %(period_start)s::date - 29) as orders_30_days,
        count(*) filter (where is_order) as orders_90_days,
        sum(total_amount) filter (where is_order and sale_date >= %(period_start)s::date - 6) as spend_7_days,
        sum(total_amount) filter (where is_order and sale_date >= %(period_start)s::date - 29) as spend_30_days,
        sum(total_amount) filter (where is_order) as spend_90_days
    from sales
    group by customer_id
),

category_totals as (
    select
        sales.customer_id,
        products.category,
        sum(sales.total_amount) as spend
    from sales
    inner join products
        on
            sales.product_id = products.product_id
            and sales.sale_date >= products.valid_from
            and sales.sale_date < products.valid_to
    where sales.is_order and products.category is not null
    group by sales.customer_id, products.category
),

preferred_categories as (
    select
        customer_id,
        (array_agg(category order by spend desc, category collate "C" asc))[1] as category
    from category_totals
    group by customer_id
),

ratings as (
    select
        customer_id,
        avg(rating) as mean_rating
    from reviews
    group by customer_id
)

select
    %(period_start)s::date as day,
    customers.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    order_totals.days_since_order,
    preferred_categories.category as preferred_category,
    round(order_totals.days_between_orders, 2)::numeric(5, 2) as days_between_orders,
    coalesce(order_totals.orders_7_days, 0) as orders_7_days,
    coalesce(order_totals.orders_30_days, 0) as orders_30_days,
    coalesce(order_totals.orders_90_days, 0) as orders_90_days,
    coalesce(order_totals.spend_7_days, 0)::numeric(18, 2) as spend_7_days,
    coalesce(order_totals.spend_30_days, 0)::numeric(18, 2) as spend_30_days,
    coalesce(order_totals.spend_90_days, 0)::numeric(18, 2) as spend_90_days,
    round(
        100.0 * (order_totals.sales_count - order_totals.orders_90_days) / order_totals.sales_count, 4
    )::numeric(7, 4) as return_share_90_days_pct,
    round(ratings.mean_rating, 2)::numeric(3, 2) as mean_rating_90_days
from customers
left join order_totals on customers.customer_id = order_totals.customer_id
left join preferred_categories on customers.customer_id = preferred_categories.customer_id
left join ratings on customers.customer_id = ratings.customer_id
order by customers.customer_id
