-- Question:   Which share of the pieces sold in the month was returned or refunded?
-- Grain:      One row per month of sale and category.
-- Inputs:     shop_star.fact_sales, shop_star.dim_product.
-- Parameters: period_start, period_end (dates, half-open: one calendar month of sales).
-- Returned and refunded sales count as returns of the whole sale. Customers can return within 30 days. The rate of a
-- month may therefore rise until sales are known from the week that begins 30 days after its end. A sale counts in the
-- product's category at the time of the sale. Products that no file describes are in the category 'Unknown'.
with sales as (
    select
        product_key,
        quantity,
        total_amount,
        status in ('returned', 'refunded') as is_returned
    from shop_star.fact_sales
    where sale_date >= %(period_start)s and sale_date < %(period_end)s
),

later_sales as (
    select max(sale_date) is null as is_immature
    from shop_star.fact_sales
    where sale_date >= %(period_end)s::date + 30 and sale_date < %(period_end)s::date + 37
),

products as (
    select
        product_key,
        coalesce(category, 'Unknown') as category
    from shop_star.dim_product
),

version_totals as (
    select
        product_key,
        sum(quantity) as units_sold,
        coalesce(sum(quantity) filter (where is_returned), 0) as units_returned,
        sum(total_amount) as gross_revenue,
        coalesce(sum(total_amount) filter (where is_returned), 0) as returned_revenue
    from sales
    group by product_key
),

categories as (
    select
        products.category,
        sum(version_totals.units_sold)::bigint as units_sold,
        sum(version_totals.units_returned)::bigint as units_returned,
        sum(version_totals.gross_revenue) as gross_revenue,
        sum(version_totals.returned_revenue) as returned_revenue
    from version_totals
    inner join products on version_totals.product_key = products.product_key
    group by products.category
)

select
    %(period_start)s::date as month,
    categories.category,
    categories.units_sold,
    categories.units_returned,
    categories.gross_revenue::numeric(18, 2) as gross_revenue,
    categories.returned_revenue::numeric(18, 2) as returned_revenue,
    later_sales.is_immature,
    round(100.0 * categories.units_returned / categories.units_sold, 4)::numeric(7, 4) as return_rate_pct
from categories
cross join later_sales
order by categories.category
