-- Question:   Which sessions began on the day, and which steps towards a purchase did each reach?
-- Grain:      One row per session with events on the day and none on the previous day.
-- Inputs:     shop.clickstream, shop_star.dim_customer.
-- Parameters: period_start, period_end (one day, half-open), starts_at, ends_at (the same as instants), timezone.
-- Events of the day and of the next day count, so midnight does not cut a session. A step is reached by an event at or
-- after the instant at which the previous step was reached. Events out of order do not count, repeated events count
-- once, and events at the same instant follow the order of the funnel. The first customer who signs in is the customer
-- of the whole session, in the version valid at its start.
with clicks as (
    select *
    from shop.clickstream
    where
        ts >= (%(period_start)s::date - 1)::timestamp at time zone %(timezone)s
        and ts < (%(period_end)s::date + 1)::timestamp at time zone %(timezone)s
),

customers as (
    select
        customer_key,
        customer_id,
        valid_from,
        valid_to
    from shop_star.dim_customer
),

with_product_view as (
    select
        *,
        min(ts) over of_session as started_at,
        min(ts) filter (where event_type = 'product_view') over of_session as product_view_at
    from clicks
    window of_session as (partition by session_id)
),

with_cart as (
    select
        *,
        min(ts) filter (where event_type = 'add_to_cart' and ts >= product_view_at) over of_session as add_to_cart_at
    from with_product_view
    where started_at >= %(starts_at)s and started_at < %(ends_at)s
    window of_session as (partition by session_id)
),

with_checkout as (
    select
        *,
        min(ts) filter (where event_type = 'checkout' and ts >= add_to_cart_at) over of_session as checkout_at
    from with_cart
    window of_session as (partition by session_id)
),

sessions as (
    select
        session_id,
        started_at,
        max(ts) as ended_at,
        count(*) as events,
        bool_or(product_view_at is not null) as reached_product_view,
        bool_or(add_to_cart_at is not null) as reached_add_to_cart,
        bool_or(checkout_at is not null) as reached_checkout,
        coalesce(bool_or(event_type = 'purchase' and ts >= checkout_at), false) as reached_purchase,
        (array_agg(customer_id order by ts, event_id) filter (where customer_id is not null))[1] as customer_id,
        (array_agg(device order by ts, event_id))[1] as device
    from with_checkout
    group by session_id, started_at
)

select
    %(period_start)s::date as session_date,
    sessions.session_id,
    customers.customer_key,
    sessions.customer_id,
    sessions.started_at,
    sessions.ended_at,
    sessions.events,
    sessions.reached_product_view,
    sessions.reached_add_to_cart,
    sessions.reached_checkout,
    sessions.reached_purchase,
    sessions.device
from sessions
left join customers
    on
        sessions.customer_id = customers.customer_id
        and sessions.started_at >= customers.valid_from
        and sessions.started_at < customers.valid_to
order by sessions.session_id
