-- Chunks, and aggregates for people's own SQL. The aggregates are of all stored readings, devices not resolved: our
-- answers come from the rollups instead.

SELECT create_hypertable('public.activities_heart_intraday', 'timestamp', chunk_time_interval => INTERVAL '7 days',
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);
SELECT create_hypertable('public.activities_heart_summary', 'timestamp', chunk_time_interval => INTERVAL '1 year',
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);

CREATE MATERIALIZED VIEW IF NOT EXISTS public.activities_heart_intraday_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT user_id, time_bucket(INTERVAL '1 minute', timestamp) AS minute, min(value) AS min_heart_rate,
       max(value) AS max_heart_rate, round(avg(value), 2) AS avg_heart_rate, count(*) AS record_count
FROM public.activities_heart_intraday GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW IF NOT EXISTS public.activities_heart_intraday_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT user_id, time_bucket(INTERVAL '1 hour', timestamp) AS hour, min(value) AS min_heart_rate,
       max(value) AS max_heart_rate, round(avg(value), 2) AS avg_heart_rate, count(*) AS record_count
FROM public.activities_heart_intraday GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW IF NOT EXISTS public.activities_heart_intraday_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT user_id, time_bucket(INTERVAL '1 day', timestamp) AS day, min(value) AS min_heart_rate,
       max(value) AS max_heart_rate, round(avg(value), 2) AS avg_heart_rate, count(*) AS record_count
FROM public.activities_heart_intraday GROUP BY 1, 2
WITH NO DATA;

SELECT add_continuous_aggregate_policy('public.activities_heart_intraday_1m', start_offset => INTERVAL '3 days',
    end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '5 minutes', if_not_exists => true);
SELECT add_continuous_aggregate_policy('public.activities_heart_intraday_1h', start_offset => INTERVAL '30 days',
    end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '30 minutes', if_not_exists => true);
SELECT add_continuous_aggregate_policy('public.activities_heart_intraday_1d', start_offset => INTERVAL '365 days',
    end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '6 hours', if_not_exists => true);
