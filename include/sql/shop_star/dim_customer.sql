-- Question:   Who is each customer, and what was known of them at which time?
-- Grain:      One row per customer and version; versions of a customer follow each other without gap or overlap.
-- Inputs:     shop.customers_changes, shop.transactions, shop.reviews, shop.clickstream.
-- Parameters: None; the dimension is always selected whole.
-- Changes that leave every attribute as it was make no version. The first version reaches back for ever, because
-- nothing is known of the time before. A customer who is only seen in facts is inferred: one version for all time,
-- without attributes. It has the key of a first version, so facts keep their key when the customer becomes known.
with changes as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        updated_at,
        row(name, email, registration_date, country) as attributes
    from shop.customers_changes
),

seen as (
    select distinct customer_id
    from shop.transactions
    union
    select distinct customer_id
    from shop.reviews
    union
    select distinct customer_id
    from shop.clickstream
    where customer_id is not null
),

compared as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        updated_at,
        attributes,
        lag(attributes) over (partition by customer_id order by updated_at) as attributes_before
    from changes
),

begun as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        case when attributes_before is null then '-infinity' else updated_at end as valid_from
    from compared
    where attributes is distinct from attributes_before
),

known as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        valid_from,
        lead(valid_from, 1, 'infinity') over (partition by customer_id order by valid_from) as valid_to
    from begun
),

versions as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        valid_from,
        valid_to,
        false as is_inferred
    from known
    union all
    select
        seen.customer_id,
        null as name,
        null as email,
        null as registration_date,
        null as country,
        '-infinity' as valid_from,
        'infinity' as valid_to,
        true as is_inferred
    from seen
    left join changes on seen.customer_id = changes.customer_id
    where changes.customer_id is null
),

keyed as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        valid_from,
        valid_to,
        is_inferred,
        hashtextextended(customer_id::text || '|' || (valid_from at time zone 'UTC')::text, 0) as customer_key
    from versions
)

select
    customer_key,
    customer_id,
    name,
    email,
    registration_date,
    country,
    valid_from,
    valid_to,
    is_inferred
from keyed
order by customer_id, valid_from
