-- Question:   Who are the customers whose purchases were ingested on the day, and what have they spent by then?
-- Grain:      One row per day of ingestion and customer.
-- Inputs:     purchases_star.fact_purchases.
-- Parameters: period_start, period_end (dates, half-open: one day of ingestion).
with of_the_day as (
    select distinct customer_id
    from purchases_star.fact_purchases
    where ingested_on >= %(period_start)s and ingested_on < %(period_end)s
),

known as (
    select
        bought.customer_id,
        bought.amount_aud,
        bought.purchase_date,
        bought.email,
        nullif(concat_ws(' ', bought.first_name, bought.last_name), '') as full_name,
        row_number() over (
            partition by bought.customer_id
            order by bought.purchase_date desc, bought.ingested_on desc, bought.purchase_id desc
        ) as recency
    from purchases_star.fact_purchases as bought
    inner join of_the_day on bought.customer_id = of_the_day.customer_id
    where bought.ingested_on < %(period_end)s
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
