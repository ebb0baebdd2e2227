-- Question:   Which five customers have spent the most by the end of the day?
-- Grain:      One row per day of ingestion and customer.
-- Inputs:     purchases_star.fact_purchases.
-- Parameters: period_start, period_end (dates, half-open: one day of ingestion).
-- Covers all purchases ingested by the end of the day. Equal amounts share a rank. Ties at rank 5 are kept.
with totals as (
    select
        customer_id,
        sum(amount_aud) as total_spent_aud,
        count(*) as purchases_count,
        min(purchase_date) as first_purchase_date,
        max(purchase_date) as last_purchase_date
    from purchases_star.fact_purchases
    where ingested_on < %(period_end)s
    group by customer_id
),

ranked as (
    select
        *,
        rank() over (order by total_spent_aud desc) as spend_rank
    from totals
),

names as (
    select distinct on (purchases.customer_id)
        purchases.customer_id,
        nullif(concat_ws(' ', purchases.first_name, purchases.last_name), '') as full_name
    from purchases_star.fact_purchases as purchases
    inner join ranked on purchases.customer_id = ranked.customer_id and ranked.spend_rank <= 5
    where purchases.ingested_on < %(period_end)s
    order by
        purchases.customer_id asc,
        purchases.purchase_date desc,
        purchases.ingested_on desc,
        purchases.purchase_id desc
)

select
    %(period_start)s::date as day,
    ranked.spend_rank,
    ranked.customer_id,
    names.full_name,
    ranked.total_spent_aud,
    ranked.purchases_count,
    ranked.first_purchase_date,
    ranked.last_purchase_date
from ranked
inner join names on ranked.customer_id = names.customer_id
where ranked.spend_rank <= 5
order by ranked.spend_rank, ranked.customer_id
