-- Question:   What is each product, and which attributes were valid when?
-- Grain:      One row per product and version. The versions of a product do not overlap.
-- Inputs:     shop.products_history, shop.transactions, shop.reviews, shop.clickstream.
-- Parameters: timezone (a day of the history begins at midnight there). The dimension is always built as a whole.
-- Stock is not tracked: a version ends when name, category, brand, supplier or price changes, or when the product is
-- no longer for sale. A product that returns gets a new version. The first version begins at -infinity, because earlier
-- attributes are unknown. A product known only from facts is inferred: one version for all time, without attributes.
-- An inferred version has the key of a first version, so facts keep their key when the product becomes known.
with history as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        valid_from,
        valid_to,
        row(name, category, brand, supplier, price) as attributes
    from shop.products_history
),

fact_products as (
    select distinct product_id
    from shop.transactions
    union
    select distinct product_id
    from shop.reviews
    union
    select distinct product_id
    from shop.clickstream
    where product_id is not null
),

compared as (
    select
        *,
        lag(attributes) over of_product as previous_attributes,
        lag(valid_to) over of_product as previous_valid_to
    from history
    window of_product as (partition by product_id order by valid_from)
),

numbered as (
    select
        *,
        count(*) filter (where attributes is distinct from previous_attributes or valid_from > previous_valid_to)
            over (partition by product_id order by valid_from) as version_number
    from compared
),

spans as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        version_number,
        min(valid_from) as first_day,
        max(valid_to) as end_day
    from numbered
    group by product_id, name, category, brand, supplier, price, version_number
),

versions as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        case when version_number > 1 then first_day::timestamp at time zone %(timezone)s else '-infinity' end
            as valid_from,
        end_day::timestamp at time zone %(timezone)s as valid_to,
        false as is_inferred
    from spans
    union all
    select
        fact_products.product_id,
        null as name,
        null as category,
        null as brand,
        null as supplier,
        null::numeric(10, 2) as price,
        '-infinity' as valid_from,
        'infinity' as valid_to,
        true as is_inferred
    from fact_products
    left join history on fact_products.product_id = history.product_id
    where history.product_id is null
),

keyed as (
    select
        *,
        hashtextextended(product_id::text || '|' || (valid_from at time zone 'UTC')::text, 0) as product_key
    from versions
)

select
    product_key,
    product_id,
    name,
    category,
    brand,
    supplier,
    price,
    valid_from,
    valid_to,
    is_inferred
from keyed
order by product_id, valid_from
