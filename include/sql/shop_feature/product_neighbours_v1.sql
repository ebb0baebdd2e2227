-- Question:   With which other product is each product bought most often?
-- Grain:      One row per day and product with a completed sale in the thirty days up to the day.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open: one day, the last of the thirty), ends_at (the day's end).
-- A basket contains the products that a customer bought on one business day in completed sales, whatever the quantity.
-- The neighbour is the product with the most common baskets, at least three. Of several, it is the one with fewer
-- baskets of its own, which has the greater lift, then the one with the smaller id. The lift of two products is
-- P(A and B) / (P(A) P(B)); it is 1 for independent products.
with sales as (
    select
        sale_date,
        customer_id,
        product_id
    from shop_star.fact_sales
    where
        sale_date >= %(period_start)s::date - 29
        and sale_date < %(period_end)s
        and status = 'completed'
),

baskets as (
    select
        sale_date,
        customer_id,
        array_agg(distinct product_id) as product_ids
    from sales
    group by sale_date, customer_id
),

basket_total as (
    select count(*)::numeric as all_baskets_count
    from baskets
),

products as (
    select
        in_basket.product_id,
        count(*) as baskets_count
    from baskets
    cross join unnest(baskets.product_ids) as in_basket (product_id)
    group by in_basket.product_id
),

pairs as (
    select
        one.product_id,
        other.product_id as neighbour_product_id,
        count(*) as common_baskets_count
    from baskets
    cross join unnest(baskets.product_ids) as one (product_id)
    cross join unnest(baskets.product_ids) as other (product_id)
    where cardinality(baskets.product_ids) > 1 and one.product_id <> other.product_id
    group by one.product_id, other.product_id
    having count(*) >= 3
),

ranked as (
    select
        pairs.product_id,
        pairs.neighbour_product_id,
        pairs.common_baskets_count,
        neighbours.baskets_count as neighbour_baskets_count,
        row_number() over (
            partition by pairs.product_id
            order by pairs.common_baskets_count desc, neighbours.baskets_count asc, pairs.neighbour_product_id asc
        ) as neighbour_rank
    from pairs
    inner join products as neighbours on pairs.neighbour_product_id = neighbours.product_id
)

select
    %(period_start)s::date as day,
    products.product_id,
    %(ends_at)s::timestamptz as event_ts,
    products.baskets_count as baskets_30_days,
    ranked.neighbour_product_id,
    coalesce(ranked.common_baskets_count, 0) as common_baskets_30_days,
    round(
        100.0 * coalesce(ranked.common_baskets_count, 0) / products.baskets_count, 4
    )::numeric(7, 4) as confidence_30_days_pct,
    round(
        ranked.common_baskets_count * basket_total.all_baskets_count
        / (products.baskets_count * ranked.neighbour_baskets_count), 6
    )::numeric(18, 6) as lift_30_days
from products
cross join basket_total
left join ranked on products.product_id = ranked.product_id and ranked.neighbour_rank = 1
order by products.product_id
