"""The tables that the SQL of the messaging domain reads, without the columns that it does not."""

from __future__ import annotations

INPUT_TABLES = """
create schema messaging;
create schema messaging_report;
create schema messaging_feature;

create table messaging.customers_history (
    customer_id integer not null, account_id integer not null, customer_name text not null,
    segment text not null, industry text not null, country text not null, created_date date not null,
    valid_from date not null, valid_to date not null,
    exclude using gist (customer_id with =, daterange(valid_from, valid_to) with &&)
);
create table messaging.channels_history (
    channel_id integer not null, channel_type text not null, valid_from date not null, valid_to date not null
);
create table messaging.deliveries (
    traffic_id bigint not null, send_date date not null, account_id integer not null,
    customer_id integer not null, channel_id integer not null, interactions_count integer not null,
    revenue_eur numeric(12, 2) not null, _delivered date not null
);
create function messaging.customers_as_of(period_end date)
returns table (customer_id integer, account_id integer, customer_name text, segment text, industry text,
    country text, created_date date)
language sql stable parallel safe
begin atomic
    select h.customer_id, h.account_id, h.customer_name, h.segment, h.industry, h.country, h.created_date
    from messaging.customers_history as h where h.valid_from < period_end and h.valid_to >= period_end;
end;
create function messaging.channels_as_of(period_end date)
returns table (channel_id integer, channel_type text)
language sql stable parallel safe
begin atomic
    select h.channel_id, h.channel_type
    from messaging.channels_history as h where h.valid_from < period_end and h.valid_to >= period_end;
end;
create function messaging.traffic_as_of(period_end date)
returns table (traffic_id bigint, send_date date, account_id integer, customer_id integer,
    channel_id integer, interactions_count integer, revenue_eur numeric)
language sql stable parallel safe
begin atomic
    select distinct on (d.send_date, d.account_id, d.customer_id, d.channel_id)
        d.traffic_id, d.send_date, d.account_id, d.customer_id, d.channel_id,
        d.interactions_count, d.revenue_eur
    from messaging.deliveries as d where d._delivered < period_end
    order by d.send_date, d.account_id, d.customer_id, d.channel_id, d._delivered desc;
end;
"""
