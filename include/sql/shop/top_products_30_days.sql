-- Question:   Which ten products had the highest net revenue in the thirty days up to the day?
-- Grain:      One row per day and product with a rank up to 10. Ties at rank 10 are kept.
-- Inputs:     shop_star.fact_sales, shop_star.dim_product.
-- Parameters: period_start, period_end (dates, half-open: one day, the last of the thirty).
-- Covers completed sales. Name and category are as of the last sale.
with sales as (
    select
        product_key,
        quantity,
        total_amount
    from shop_star.fact_sales
    where sale_date >= %(period_start)s::date - 29 and sale_date < %(period_end)s and status = 'completed'
),

products as (
    select
        product_key,
        product_id,
        name,
        valid_from,
        coalesce(category, 'Unknown') as category
    from shop_star.dim_product
),

version_totals as (
    select
        product_key,
        sum(quantity) as net_units,
        sum(total_amount) as net_revenue
    from sales
    group by product_key
),

product_totals as (
    select
        products.product_id,
        (array_agg(products.name order by products.valid_from desc))[1] as product_name,
        (array_agg(products.category order by products.valid_from desc))[1] as category,
        sum(version_totals.net_units)::bigint as net_units,
        sum(version_totals.net_revenue) as net_revenue
    from version_totals
    inner join products on version_totals.product_key = products.product_key
    group by products.product_id
),

ranked as (
    select
        *,
        rank() over (order by net_revenue desc) as product_rank
    from product_totals
)

select
    %(period_start)s::date as day,
    product_rank,
    product_id,
    product_name,
    category,
    net_units,
    net_revenue::numeric(18, 2) as net_revenue
from ranked
where product_rank <= 10
order by product_rank, product_id
