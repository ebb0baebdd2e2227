-- Question:   How does the revenue of each customer develop, and over which channels does it come?
-- Grain:      One row per month and customer with traffic in the twelve months up to the end of the month.
-- Inputs:     messaging.traffic_as_of, messaging.channels_as_of.
-- Parameters: period_start, period_end (dates, half-open: one calendar month, the last of the twelve), ends_at.
-- These are inputs of models of churn. Traffic is read as of the end of the month: what is corrected later does not
-- change the row. The shares and the concentration are of the revenue of the last three months, by the channels' types
-- at the end of the month. Channels of other types, and channels no longer in the snapshot, are other channels.
with traffic as (
    select
        customer_id,
        channel_id,
        send_date,
        interactions_count,
        revenue_eur,
        date_trunc('month', send_date::timestamp)::date as send_month,
        send_date >= (%(period_start)s::date - interval '2 months')::date as is_recent
    from messaging.traffic_as_of(%(period_end)s)
    where
        send_date >= (%(period_start)s::date - interval '11 months')::date
        and send_date < %(period_end)s
),

channels as (
    select
        channel_id,
        channel_type
    from messaging.channels_as_of(%(period_end)s)
),

customer_months as (
    select
        customer_id,
        send_month,
        sum(revenue_eur) as revenue_eur,
        sum(interactions_count) as interactions_count
    from traffic
    group by customer_id, send_month
),

customers as (
    select
        customer_id,
        max(send_month) as last_month,
        sum(revenue_eur) as revenue_12_months_eur,
        coalesce(sum(revenue_eur) filter (where send_month = %(period_start)s), 0) as revenue_1_month_eur,
        coalesce(
            sum(revenue_eur) filter (where send_month >= (%(period_start)s::date - interval '2 months')::date), 0
        ) as revenue_3_months_eur,
        coalesce(
            sum(revenue_eur) filter (
                where
                send_month >= (%(period_start)s::date - interval '5 months')::date
                and send_month < (%(period_start)s::date - interval '2 months')::date
            ), 0
        ) as previous_3_months_eur,
        coalesce(
            sum(interactions_count) filter (where send_month >= (%(period_start)s::date - interval '2 months')::date), 0
        ) as interactions_3_months,
        count(*) filter (where revenue_eur > 0) as months_active
    from customer_months
    group by customer_id
),

channel_revenue as (
    select
        customer_id,
        channel_id,
        sum(revenue_eur) as revenue_eur
    from traffic
    where is_recent
    group by customer_id, channel_id
),

channel_mix as (
    select
        channel_revenue.customer_id,
        sum(channel_revenue.revenue_eur) as revenue_eur,
        sum(channel_revenue.revenue_eur * channel_revenue.revenue_eur) as squares,
        sum(channel_revenue.revenue_eur) filter (where channels.channel_type = 'chat') as chat_eur,
        sum(channel_revenue.revenue_eur) filter (where channels.channel_type = 'email') as email_eur,
        sum(channel_revenue.revenue_eur) filter (where channels.channel_type = 'push') as push_eur,
        sum(channel_revenue.revenue_eur) filter (where channels.channel_type = 'sms') as sms_eur,
        sum(channel_revenue.revenue_eur) filter (where channels.channel_type = 'voice') as voice_eur,
        sum(channel_revenue.revenue_eur) filter (
            where coalesce(channels.channel_type, '') not in ('chat', 'email', 'push', 'sms', 'voice')
        ) as other_eur
    from channel_revenue
    left join channels on channel_revenue.channel_id = channels.channel_id
    group by channel_revenue.customer_id
    having sum(channel_revenue.revenue_eur) > 0
)

select
    %(period_start)s::date as month,
    customers.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    customers.revenue_1_month_eur::numeric(16, 2) as revenue_1_month_eur,
    customers.revenue_3_months_eur::numeric(16, 2) as revenue_3_months_eur,
    customers.revenue_12_months_eur::numeric(16, 2) as revenue_12_months_eur,
    customers.interactions_3_months::bigint as interactions_3_months,
    customers.months_active::integer as months_active_12_months,
    round(
        100 * (customers.revenue_3_months_eur - customers.previous_3_months_eur)
        / nullif(customers.previous_3_months_eur, 0), 2
    )::numeric(22, 2) as revenue_trend_3_months_pct,
    (
        12 * (extract(year from %(period_start)s::date) - extract(year from customers.last_month))
        + extract(month from %(period_start)s::date) - extract(month from customers.last_month)
    )::integer as months_since_traffic,
    round(100 * coalesce(channel_mix.chat_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as chat_share_pct,
    round(100 * coalesce(channel_mix.email_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as email_share_pct,
    round(100 * coalesce(channel_mix.push_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as push_share_pct,
    round(100 * coalesce(channel_mix.sms_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as sms_share_pct,
    round(100 * coalesce(channel_mix.voice_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as voice_share_pct,
    round(100 * coalesce(channel_mix.other_eur, 0) / channel_mix.revenue_eur, 4)::numeric(7, 4) as other_share_pct,
    round(
        channel_mix.squares / (channel_mix.revenue_eur * channel_mix.revenue_eur), 6
    )::numeric(7, 6) as channel_concentration
from customers
left join channel_mix on customers.customer_id = channel_mix.customer_id
order by customers.customer_id
