-- Question:   How much have the customers with purchases ingested on the day spent by the end of the day?
-- Grain:      One row per day of ingestion and customer.
-- Inputs:     purchases_star.fact_purchases.
-- Parameters: period_start, period_end (dates, half-open: one day of ingestion).
with day_customers as (
    select distinct customer_id
    from purchases_star.fact_purchases
    where ingested_on >= %(period_start)s and ingested_on < %(period_end)s
),

known as (
    select
        purchases.customer_id,
        purchases.amount_aud,
        purchases.purchase_date,
        purchases.email,
        nullif(concat_ws(' ', purchases.first_name, purchases.last_name), '') as full_name,
        row_number() over (
            partition by purchases.customer_id
            order by purchases.purchase_date desc, purchases.ingested_on desc, purchases.purchase_id desc
        ) as recency
    from purchases_star.fact_purchases as purchases
    inner join day_customers on purchases.customer_id = day_customers.customer_id
    where purchases.ingested_on < %(period_end)s
)

select
    %(period_start)s::date as as_of,
    customer_id,
    max(full_name) filter (where recency = 1) as full_name,
    max(email) filter (where recency = 1) as email,
    sum(amount_aud) as total_spent_aud,
    count(*) as purchases_count,
    min(purchase_date) as first_purchase_date,
    max(purchase_date) as last_purchase_date
from known
group by customer_id
order by customer_id
