-- Question:   How much has each customer spent so far?
-- Grain:      One row per customer.
-- Inputs:     purchases_star.fact_purchases.
-- Parameters: None.
-- Name and email are those of the latest purchase. Of several purchases on one day, the one ingested last counts.
with known as (
    select
        customer_id,
        amount_aud,
        purchase_date,
        email,
        nullif(concat_ws(' ', first_name, last_name), '') as full_name,
        row_number() over (
            partition by customer_id
            order by purchase_date desc, ingested_on desc, purchase_id desc
        ) as recency
    from purchases_star.fact_purchases
)

select
    customer_id,
    max(full_name) filter (where recency = 1) as full_name,
    max(email) filter (where recency = 1) as email,
    sum(amount_aud) as total_spent_aud,
    count(*) as purchases_count,
    min(purchase_date) as first_purchase_date,
    max(purchase_date) as last_purchase_date
from known
group by customer_id
