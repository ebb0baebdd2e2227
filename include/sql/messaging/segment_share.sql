-- Question:   Which share of the customers is in each segment at the end of the month?
-- Grain:      One row per month and segment.
-- Inputs:     messaging.customers_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month).
-- Shares have two decimals and add up to exactly 100 (largest remainder method). Each share is rounded down, and the
-- hundredths left over go to the largest remainders; ties are ordered by name. Integer arithmetic is exact.
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
        mod(10000 * customers_count, all_customers_count) as division_remainder
    from segments
),

ranked as (
    select
        *,
        row_number() over (order by division_remainder desc, segment collate "C" asc) as remainder_rank,
        10000 - sum(hundredths) over () as hundredths_left
    from rounded_down
)

select
    %(period_start)s::date as month,
    segment,
    customers_count,
    ((hundredths + (remainder_rank <= hundredths_left)::integer) / 100.0)::numeric(5, 2) as share_pct
from ranked
order by segment collate "C"
