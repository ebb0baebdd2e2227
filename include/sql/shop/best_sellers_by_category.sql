-- Question:   Which products sell the most pieces in each category?
-- Grain:      One row per month, category and product with a rank up to 10. Ties at rank 10 are kept.
-- Inputs:     shop_star.fact_sales, shop_star.dim_product.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- Covers completed sales. A sale counts in the product's category at the time of the sale, so a product that changed
-- category may be in two. Products that no file describes are in the category 'Unknown'. Names are as of the last sale.
-- This report ranks by pieces and top_products_by_category by net revenue; they are separate because each lists and
-- checks only the first ten of its own ranking.
with sales as (
    select
        product_key,
        quantity,
        total_amount
    from shop_star.fact_sales
    where sale_date >= %(period_start)s and sale_date < %(period_end)s and status = 'completed'
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
        products.category,
        products.product_id,
        (array_agg(products.name order by products.valid_from desc))[1] as product_name,
        sum(version_totals.net_units)::bigint as net_units,
        sum(version_totals.net_revenue) as net_revenue
    from version_totals
    inner join products on version_totals.product_key = products.product_key
    group by products.category, products.product_id
),

ranked as (
    select
        *,
        rank() over (partition by category order by net_units desc) as category_rank,
        round(100 * net_units / sum(net_units) over (partition by category), 4) as category_share_pct
    from product_totals
)

select
    %(period_start)s::date as month,
    category,
    category_rank,
    product_id,
    product_name,
    net_units,
    category_share_pct::numeric(7, 4) as category_share_pct,
    net_revenue::numeric(18, 2) as net_revenue
from ranked
where category_rank <= 10
order by category collate "C", category_rank, product_id
