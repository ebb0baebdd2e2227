-- Question:   Which week, month, quarter and year does a day belong to?
-- Grain:      One row per day of every calendar year with shop data.
-- Inputs:     shop.customers_changes, shop.products_history, shop.transactions, shop.clickstream, shop.reviews.
-- Parameters: timezone (decides the day of an instant). The dimension is always built as a whole.
with instants as (
    select
        min(updated_at) as first_at,
        max(updated_at) as last_at
    from shop.customers_changes
    union all
    select
        min(transaction_ts) as first_at,
        max(transaction_ts) as last_at
    from shop.transactions
    union all
    select
        min(ts) as first_at,
        max(ts) as last_at
    from shop.clickstream
),

spans as (
    select
        (first_at at time zone %(timezone)s)::date as first_day,
        (last_at at time zone %(timezone)s)::date as last_day
    from instants
    union all
    select
        min(valid_from) as first_day,
        greatest(max(valid_from), max(valid_to) filter (where valid_to < 'infinity')) as last_day
    from shop.products_history
    union all
    select
        min(review_date) as first_day,
        max(review_date) as last_day
    from shop.reviews
),

years as (
    select
        date_trunc('year', min(first_day)::timestamp) as first_day,
        date_trunc('year', max(last_day)::timestamp) + interval '1 year -1 day' as last_day
    from spans
),

days as (
    select generate_series(first_day, last_day, '1 day')::date as calendar_date
    from years
)

select
    calendar_date,
    extract(year from calendar_date)::integer as calendar_year,
    extract(quarter from calendar_date)::integer as calendar_quarter,
    extract(month from calendar_date)::integer as calendar_month,
    extract(isoyear from calendar_date)::integer as iso_year,
    extract(week from calendar_date)::integer as iso_week,
    extract(isodow from calendar_date)::integer as iso_weekday,
    to_char(calendar_date, 'FMDay') as weekday_name,
    extract(isodow from calendar_date) >= 6 as is_weekend,
    date_trunc('week', calendar_date::timestamp)::date as week_start,
    date_trunc('month', calendar_date::timestamp)::date as month_start,
    date_trunc('quarter', calendar_date::timestamp)::date as quarter_start
from days
order by calendar_date
