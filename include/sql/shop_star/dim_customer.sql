-- Question:   Who is each customer, and which attributes were valid when?
-- Grain:      One row per customer and version. The versions of a customer have no gaps and no overlaps.
-- Inputs:     shop.customers_changes, shop.transactions, shop.reviews, shop.clickstream.
-- Parameters: None. The dimension is always built as a whole.
-- A change that alters no attribute creates no version. The first version begins at -infinity, because earlier
-- attributes are unknown. A customer known only from facts is inferred: one version for all time, without attributes.
-- An inferred version has the key of a first version, so facts keep their key when the customer becomes known.
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

fact_customers as (
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
        *,
        lag(attributes) over (partition by customer_id order by updated_at) as previous_attributes
    from changes
),

version_starts as (
    select
        *,
        case when previous_attributes is null then '-infinity' else updated_at end as valid_from
    from compared
    where attributes is distinct from previous_attributes
),

versions as (
    select
        customer_id,
        name,
        email,
        registration_date,
        country,
        valid_from,
        lead(valid_from, 1, 'infinity') over (partition by customer_id order by valid_from) as valid_to,
        false as is_inferred
    from version_starts
    union all
    select
        fact_customers.customer_id,
        null as name,
        null as email,
        null as registration_date,
        null as country,
        '-infinity' as valid_from,
        'infinity' as valid_to,
        true as is_inferred
    from fact_customers
    left join changes on fact_customers.customer_id = changes.customer_id
    where changes.customer_id is null
),

keyed as (
    select
        *,
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
