-- Question:   Which customers are loyal, new, at risk or lost by recency, frequency and money (RFM)?
-- Grain:      One row per month and customer with a completed sale by the end of the month.
-- Inputs:     shop_star.fact_sales.
-- Parameters: period_start, period_end (dates, half-open: one calendar month). All earlier days are read, too.
-- Scores are as of the end of the month. A score is 1 plus the number of quintile boundaries (by linear interpolation)
-- below the value; 5 is best. Ranks are enough to compute it: among n values, a value with r smaller ones is above the
-- boundary k/5 if and only if r / (n - 1) > k / 5. Equal values therefore share a score, and nothing is rounded. With
-- fewer than five customers, or with equal values of all customers, the score is 3.
with sales as (
    select
        customer_id,
        sale_date,
        total_amount
    from shop_star.fact_sales
    where sale_date < %(period_end)s and status = 'completed'
),

customers as (
    select
        customer_id,
        max(sale_date) as last_purchase_date,
        %(period_end)s::date - max(sale_date) - 1 as recency_days,
        count(*) as orders_count,
        sum(total_amount) as net_revenue
    from sales
    group by customer_id
),

ranked as (
    select
        *,
        rank() over (order by last_purchase_date) - 1 as less_recent,
        rank() over (order by orders_count) - 1 as less_frequent,
        rank() over (order by net_revenue) - 1 as less_money
    from customers
),

population as (
    select
        count(*) - 1 as others_count,
        count(*) < 5 as is_small,
        max(less_recent) = 0 as is_equal_recency,
        max(less_frequent) = 0 as is_equal_frequency,
        max(less_money) = 0 as is_equal_money
    from ranked
),

scored as (
    select
        ranked.customer_id,
        ranked.last_purchase_date,
        ranked.recency_days,
        ranked.orders_count,
        ranked.net_revenue,
        case
            when population.is_small or population.is_equal_recency then 3
            else greatest(ceil(5.0 * ranked.less_recent / population.others_count), 1)::integer
        end as recency_score,
        case
            when population.is_small or population.is_equal_frequency then 3
            else greatest(ceil(5.0 * ranked.less_frequent / population.others_count), 1)::integer
        end as frequency_score,
        case
            when population.is_small or population.is_equal_money then 3
            else greatest(ceil(5.0 * ranked.less_money / population.others_count), 1)::integer
        end as money_score,
        population.is_small
        or population.is_equal_recency
        or population.is_equal_frequency
        or population.is_equal_money as is_degenerate
    from ranked
    cross join population
)

select
    %(period_start)s::date as month,
    customer_id,
    last_purchase_date,
    recency_days,
    orders_count,
    net_revenue::numeric(18, 2) as net_revenue,
    recency_score,
    frequency_score,
    money_score,
    is_degenerate,
    case
        when recency_score >= 4 and frequency_score >= 4 and money_score >= 4 then 'Champions'
        when recency_score >= 3 and frequency_score >= 3 then 'Loyal'
        when recency_score >= 4 then 'New'
        when recency_score = 3 then 'Needs attention'
        when frequency_score >= 3 then 'At risk'
        else 'Lost'
    end as segment
from scored
order by customer_id
