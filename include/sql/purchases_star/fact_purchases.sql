-- Question:   What is the amount of each purchase in Australian dollars?
-- Grain:      One row per purchase.
-- Inputs:     purchases.purchases, purchases.rates.
-- Parameters: period_start, period_end (dates, half-open: one day of ingestion).
-- The rate effective on a day is the last one that began by that day. Each purchase is rounded to cents, half away from
-- zero, so that every sum of purchases is exact.
select
    purchases.ingested_on,
    purchases.purchase_id,
    purchases.customer_id,
    purchases.first_name,
    purchases.last_name,
    purchases.email,
    purchases.purchase_date,
    purchases.amount,
    purchases.currency,
    effective.aud_rate,
    round(purchases.amount * effective.aud_rate, 2) as amount_aud
from purchases.purchases as purchases
inner join lateral (
    select rates.aud_rate
    from purchases.rates as rates
    where rates.currency = purchases.currency and rates.valid_from <= purchases.purchase_date
    order by rates.valid_from desc
    limit 1
) as effective on true
where purchases.ingested_on >= %(period_start)s and purchases.ingested_on < %(period_end)s
order by purchases.purchase_id
