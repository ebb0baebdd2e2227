-- Question:   What was sold on the day, to whom, and what is the status of each sale?
-- Grain:      One row per transaction.
-- Inputs:     shop.transactions, shop_star.dim_customer, shop_star.dim_product.
-- Parameters: period_start (the day), starts_at (its first instant), ends_at (the first instant of the next day).
-- A sale refers to the versions of customer and product at its instant. A product that is no longer for sale has its
-- last version. A customer or product without a version leaves its key empty. The table rejects an empty key, so no
-- sale is lost silently.
with transactions as (
    select *
    from shop.transactions
    where transaction_ts >= %(starts_at)s and transaction_ts < %(ends_at)s
),

customers as (
    select
        customer_key,
        customer_id,
        valid_from,
        valid_to
    from shop_star.dim_customer
),

products as (
    select
        product_key,
        product_id,
        valid_from,
        lead(valid_from, 1, 'infinity') over (partition by product_id order by valid_from) as next_from
    from shop_star.dim_product
)

select
    %(period_start)s::date as sale_date,
    transactions.transaction_id,
    customers.customer_key,
    products.product_key,
    transactions.customer_id,
    transactions.product_id,
    transactions.quantity,
    transactions.price,
    transactions.total_amount,
    transactions.status,
    transactions.payment_method,
    transactions.transaction_ts
from transactions
left join customers
    on
        transactions.customer_id = customers.customer_id
        and transactions.transaction_ts >= customers.valid_from
        and transactions.transaction_ts < customers.valid_to
left join products
    on
        transactions.product_id = products.product_id
        and transactions.transaction_ts >= products.valid_from
        and transactions.transaction_ts < products.next_from
order by transactions.transaction_id
