-- Question:   How do the customers divide into segments at the month's end?
-- Grain:      One row per month and segment.
-- Inputs:     messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- Shares have two decimals and sum to exactly 100: each is rounded down, and the hundredths left over go to
-- the largest parts cut off, equal ones in the order of names. All in integers, so nothing is approximate.
with customers as (
    select segment
    from messaging.customers_as_of(%(period_end)s)
),

segments as (
    select
        segment,
        count(*) as customers_count,
        sum(count(*)) over ()::bigint as all_customers_count
    from customers
    group by segment
),

rounded_down as (
    select
        segment,
        customers_count,
        10000 * customers_count / all_customers_count as hundredths,
        mod(10000 * customers_count, all_customers_count) as cut_off
    from segments
),

ranked as (
    select
        segment,
        customers_count,
        hundredths,
        row_number() over (order by cut_off desc, segment collate "C" asc) as cut_off_rank,
        10000 - sum(hundredths) over () as hundredths_left
    from rounded_down
)

select
    %(period_start)s::date as month,
    segment,
    customers_count,
    ((hundredths + (cut_off_rank <= hundredths_left)::integer) / 100.0)::numeric(5, 2) as share_pct
from ranked
order by segment collate "C"
