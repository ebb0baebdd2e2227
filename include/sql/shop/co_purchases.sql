-- Question:   Which products are bought together more often than by chance?
-- Grain:      One row per month, product and recommended product, with up to five recommendations per product.
-- Inputs:     shop_star.fact_sales, shop_star.dim_product.
-- Parameters: period_start, period_end (dates, half-open: one calendar month). The two previous months are read, too.
--             timezone (names are those of the end of the month there).
-- A basket contains the products that a customer bought on one business day in completed sales, whatever the quantity.
-- The lift of two products is P(A and B) / (P(A) P(B)). It is 1 for independent products and equal in both directions.
-- A recommendation needs three baskets with both products and a lift above 1. Ties are ordered by product id.
with sales as (
    select
        sale_date,
        customer_id,
        product_id
    from shop_star.fact_sales
    where
        sale_date >= (%(period_start)s::date - interval '2 months')::date
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
        one.product_id as one_id,
        other.product_id as other_id,
        count(*) as common_baskets_count
    from baskets
    cross join unnest(baskets.product_ids) as one (product_id)
    cross join unnest(baskets.product_ids) as other (product_id)
    where cardinality(baskets.product_ids) > 1 and one.product_id < other.product_id
    group by one.product_id, other.product_id
    having count(*) >= 3
),

lifts as (
    select
        pairs.one_id,
        pairs.other_id,
        pairs.common_baskets_count,
        one.baskets_count as one_baskets_count,
        other.baskets_count as other_baskets_count,
        round(100 * pairs.common_baskets_count / basket_total.all_baskets_count, 4) as support_pct,
        round(
            pairs.common_baskets_count * basket_total.all_baskets_count / (one.baskets_count * other.baskets_count), 6
        ) as lift
    from pairs
    inner join products as one on pairs.one_id = one.product_id
    inner join products as other on pairs.other_id = other.product_id
    cross join basket_total
),

both_ways as (
    select
        one_id as product_id,
        other_id as recommended_product_id,
        one_baskets_count as baskets_count,
        other_baskets_count as recommended_baskets_count,
        common_baskets_count,
        support_pct,
        lift
    from lifts
    union all
    select
        other_id as product_id,
        one_id as recommended_product_id,
        other_baskets_count as baskets_count,
        one_baskets_count as recommended_baskets_count,
        common_baskets_count,
        support_pct,
        lift
    from lifts
),

ranked as (
    select
        *,
        round(100.0 * common_baskets_count / baskets_count, 4) as confidence_pct,
        row_number() over (
            partition by product_id order by lift desc, recommended_product_id asc
        ) as recommendation_rank
    from both_ways
    where lift > 1
),

names as (
    select
        product_id,
        (array_agg(name order by valid_from desc))[1] as product_name
    from shop_star.dim_product
    where valid_from < %(period_end)s::timestamp at time zone %(timezone)s
    group by product_id
)

select
    %(period_start)s::date as month,
    ranked.product_id,
    names.product_name,
    ranked.recommendation_rank,
    ranked.recommended_product_id,
    recommended_names.product_name as recommended_product_name,
    ranked.baskets_count,
    ranked.recommended_baskets_count,
    ranked.common_baskets_count,
    ranked.support_pct::numeric(7, 4) as support_pct,
    ranked.confidence_pct::numeric(7, 4) as confidence_pct,
    ranked.lift::numeric(18, 6) as lift
from ranked
left join names on ranked.product_id = names.product_id
left join names as recommended_names on ranked.recommended_product_id = recommended_names.product_id
where ranked.recommendation_rank <= 5
order by ranked.product_id, ranked.recommendation_rank
