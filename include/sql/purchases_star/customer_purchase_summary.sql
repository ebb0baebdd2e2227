-- Question:   What has each customer spent, as far as anybody knows today?
-- Grain:      One row per customer.
-- Inputs:     purchases_star.fact_purchases.
-- Parameters: none.
-- Name and address are those of the latest purchase; of several on one day, of the one that was ingested last.
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
