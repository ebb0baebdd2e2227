-- Question:   Which customers changed segment in the twelve months up to the end of the month?
-- Grain:      One row per month and customer whose segment changed, without new and lost customers.
-- Inputs:     messaging.customers_as_of, messaging.customers_history.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- changed_net compares the segments at start and end. changed_ever includes every change in between, even a reverted
-- one. The state as of a day is the state just before it. The first history row is therefore the one that is valid up
-- to or beyond the start of the twelve months. If a customer is absent, the states before and after are compared.
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
