-- Question:   Which products were reviewed on the day, by whom, and with which rating?
-- Grain:      One row per review.
-- Inputs:     shop.reviews, shop_star.dim_customer, shop_star.dim_product.
-- Parameters: period_start, period_end (one day, half-open), starts_at (its first instant).
-- A review has a day but no time, so it refers to the versions of customer and product valid at the start of the day. A
-- product that is no longer for sale has its last version.
with reviews as (
    select
        review_id,
        customer_id,
        product_id,
        rating,
        coalesce(review_text, '') <> '' as has_text
    from shop.reviews
    where review_date >= %(period_start)s and review_date < %(period_end)s
),

customers as (
    select
        customer_key,
        customer_id
    from shop_star.dim_customer
    where valid_from <= %(starts_at)s and valid_to > %(starts_at)s
),

products as (
    select
        product_key,
        product_id,
        valid_from,
        max(valid_from) over (partition by product_id) as last_from
    from shop_star.dim_product
    where valid_from <= %(starts_at)s
)

select
    %(period_start)s::date as review_date,
    reviews.review_id,
    customers.customer_key,
    products.product_key,
    reviews.customer_id,
    reviews.product_id,
    reviews.rating,
    reviews.has_text
from reviews
left join customers on reviews.customer_id = customers.customer_id
left join products on reviews.product_id = products.product_id and products.valid_from = products.last_from
order by reviews.review_id
