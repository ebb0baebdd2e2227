-- Question:   How fast does each product sell, how often does it come back, and how did its price and rating change?
-- Grain:      One row per day and product with a sale or review in the thirty days up to the day.
-- Inputs:     shop_star.fact_sales, shop_star.fact_reviews, shop.products_history.
-- Parameters: period_start, period_end (dates, half-open: one day, the last of the thirty), ends_at (the day's end).
-- The velocity is the number of pieces in completed sales per day of the window. Returned and refunded sales count as
-- returns of all their pieces, on the day of the sale. Prices are those of the products' files of the day and of the
-- day thirty days earlier.
with sales as (
    select
        product_id,
        sale_date,
        quantity,
        status = 'completed' as is_kept
    from shop_star.fact_sales
    where sale_date >= %(period_start)s::date - 29 and sale_date < %(period_end)s
),

reviews as (
    select
        product_id,
        rating
    from shop_star.fact_reviews
    where review_date >= %(period_start)s::date - 29 and review_date < %(period_end)s
),

prices as (
    select
        product_id,
        price
    from shop.products_history
    where valid_from <= %(period_start)s and valid_to > %(period_start)s
),

earlier_prices as (
    select
        product_id,
        price
    from shop.products_history
    where valid_from <= %(period_start)s::date - 30 and valid_to > %(period_start)s::date - 30
),

products as (
    select product_id
    from sales
    union
    select product_id
    from reviews
),

sales_totals as (
    select
        product_id,
        sum(quantity) as units,
        sum(quantity) filter (where is_kept and sale_date >= %(period_start)s::date - 6) as kept_units_7_days,
        sum(quantity) filter (where is_kept) as kept_units_30_days
    from sales
    group by product_id
),

ratings as (
    select
        product_id,
        count(*) as reviews_count,
        avg(rating) as mean_rating
    from reviews
    group by product_id
)

select
    %(period_start)s::date as day,
    products.product_id,
    %(ends_at)s::timestamptz as event_ts,
    prices.price,
    round(coalesce(sales_totals.kept_units_7_days, 0) / 7.0, 4)::numeric(18, 4) as units_per_day_7_days,
    round(coalesce(sales_totals.kept_units_30_days, 0) / 30.0, 4)::numeric(18, 4) as units_per_day_30_days,
    round(
        100.0 * (sales_totals.units - coalesce(sales_totals.kept_units_30_days, 0)) / sales_totals.units, 4
    )::numeric(7, 4) as return_rate_30_days_pct,
    round(
        100 * (prices.price - earlier_prices.price) / earlier_prices.price, 2
    )::numeric(16, 2) as price_change_30_days_pct,
    coalesce(ratings.reviews_count, 0) as reviews_30_days,
    round(ratings.mean_rating, 2)::numeric(3, 2) as mean_rating_30_days
from products
left join sales_totals on products.product_id = sales_totals.product_id
left join ratings on products.product_id = ratings.product_id
left join prices on products.product_id = prices.product_id
left join earlier_prices on products.product_id = earlier_prices.product_id
order by products.product_id
