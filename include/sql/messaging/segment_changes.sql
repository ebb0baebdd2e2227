-- Question:   Which customers changed segment in the twelve months up to the month's end?
-- Grain:      One row per month and customer who changed; new and lost customers are neither.
-- Inputs:     messaging.customers_as_of, messaging.customers_history.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- changed_net compares the two ends; changed_ever sees any step between, also one that was taken back. The
-- state as of a day is the one just before it, so the window opens with the history row that is valid up to
-- its start or beyond. Around an absence the states before and after it are compared.
with customers_now as (
    select
        customer_id,
        customer_name,
        segment
    from messaging.customers_as_of(%(period_end)s)
),

customers_before as (
    select
        customer_id,
        segment
    from messaging.customers_as_of((%(period_end)s::date - interval '12 months')::date)
),

states as (
    select
        customer_id,
        segment,
        lag(segment) over (partition by customer_id order by valid_from) as previous_segment
    from messaging.customers_history
    where valid_from < %(period_end)s and valid_to >= (%(period_end)s::date - interval '12 months')::date
),

changers as (
    select distinct customer_id
    from states
    where segment <> previous_segment
),

compared as (
    select
        customers_now.customer_id,
        customers_now.customer_name,
        customers_before.segment as segment_12_months_ago,
        customers_now.segment as segment_now,
        customers_now.segment <> customers_before.segment as changed_net,
        changers.customer_id is not null as changed_ever
    from customers_now
    inner join customers_before on customers_now.customer_id = customers_before.customer_id
    left join changers on customers_now.customer_id = changers.customer_id
)

select
    %(period_start)s::date as month,
    customer_id,
    customer_name,
    segment_12_months_ago,
    segment_now,
    changed_net,
    changed_ever
from compared
where changed_net or changed_ever
order by customer_id
