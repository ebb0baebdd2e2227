-- Question:   What is each product, and what was known of it at which time?
-- Grain:      One row per product and version; versions of a product do not overlap.
-- Inputs:     shop.products_history, shop.transactions, shop.reviews, shop.clickstream.
-- Parameters: timezone (a day of the history begins at its midnight there); always selected whole.
-- Stock is not tracked: a version lasts as long as name, category, brand, supplier and price stay. It ends when the
-- product is no longer for sale; when it returns, another version begins. The first version reaches back for ever,
-- because nothing is known of the time before. A product that is only seen in facts is inferred: one version for all
-- time, without attributes. It has the key of a first version, so facts keep their key when it becomes known.
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

seen as (
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
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        valid_from,
        valid_to,
        attributes,
        lag(attributes) over of_product as attributes_before,
        lag(valid_to) over of_product as valid_to_before
    from history
    window of_product as (partition by product_id order by valid_from)
),

numbered as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        valid_from,
        valid_to,
        count(*) filter (where attributes is distinct from attributes_before or valid_from > valid_to_before)
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

known as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        end_day::timestamp at time zone %(timezone)s as valid_to,
        case when version_number > 1 then first_day::timestamp at time zone %(timezone)s else '-infinity' end
            as valid_from
    from spans
),

versions as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        valid_from,
        valid_to,
        false as is_inferred
    from known
    union all
    select
        seen.product_id,
        null as name,
        null as category,
        null as brand,
        null as supplier,
        null::numeric(10, 2) as price,
        '-infinity' as valid_from,
        'infinity' as valid_to,
        true as is_inferred
    from seen
    left join history on seen.product_id = history.product_id
    where history.product_id is null
),

keyed as (
    select
        product_id,
        name,
        category,
        brand,
        supplier,
        price,
        valid_from,
        valid_to,
        is_inferred,
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
