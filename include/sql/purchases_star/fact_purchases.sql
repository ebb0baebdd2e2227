-- Question:   What did each purchase come to in Australian dollars?
-- Grain:      One row per purchase.
-- Inputs:     purchases.purchases, purchases.rates.
-- Parameters: period_start, period_end (dates, half-open: one day of ingestion).
-- The rate in force on a day is the last one that began by then. Each purchase is rounded to cents, halves away from
-- zero, so that every sum of purchases is exact.
select
    bought.ingested_on,
    bought.purchase_id,
    bought.customer_id,
    bought.first_name,
    bought.last_name,
    bought.email,
    bought.purchase_date,
    bought.amount,
    bought.currency,
    in_force.aud_rate,
    round(bought.amount * in_force.aud_rate, 2) as amount_aud
from purchases.purchases as bought
inner join lateral (
    select rates.aud_rate
    from purchases.rates as rates
    where rates.currency = bought.currency and rates.valid_from <= bought.purchase_date
    order by rates.valid_from desc
    limit 1
) as in_force on true
where bought.ingested_on >= %(period_start)s and bought.ingested_on < %(period_end)s
order by bought.purchase_id
