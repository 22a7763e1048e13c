-- Readings of other metrics than heart rate. The tables that people's own SQL knows (activities_heart_intraday and what
-- is aggregated from it) stay heart rate's alone.
--
-- From here on the column `user_id` of the stage and of the rollups holds the key of a series, one person's readings of
-- one metric: of heart rate the person's id, of another metric the id, chr(31), which no id contains, and the metric.

-- Every merged reading of other metrics than heart rate; `v` is in stored units, `user_id` the key of a series.
CREATE TABLE pulsebase.other_readings (
    timestamp timestamptz NOT NULL,
    v smallint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    confidence smallint,
    origin integer NOT NULL
);
CREATE UNIQUE INDEX other_readings_key ON pulsebase.other_readings (user_id, timestamp, device_id);

-- Drops the chunks of readings before the horizon, which every reading there has expired by.
CREATE OR REPLACE FUNCTION pulsebase.drop_expired_chunks() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    which text;
BEGIN
    FOREACH which IN ARRAY ARRAY['public.activities_heart_intraday', 'pulsebase.other_readings'] LOOP
        EXECUTE format(
            'SELECT %I.drop_chunks(%L, older_than => (SELECT start_at FROM pulsebase.horizon))',
            (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb'),
            which
        );
    END LOOP;
END
$$;

-- For people's own SQL: merged readings, and resolved hours and UTC days, of every metric, in its unit.
CREATE VIEW public.vital_signs AS
SELECT r.timestamp, 'heart_rate'::text AS metric, r.value::numeric AS value, 'bpm'::text AS unit, r.user_id,
       r.device_id, r.confidence
FROM public.activities_heart_intraday AS r
UNION ALL
SELECT r.timestamp, s.metric, round(r.v::numeric / m.scale, 2), m.unit, s.user_id, r.device_id, r.confidence
FROM pulsebase.series AS s JOIN pulsebase.metrics AS m USING (metric)
JOIN pulsebase.other_readings AS r ON r.user_id = s.key;

CREATE VIEW public.vital_signs_1h AS
SELECT h.user_id, 'heart_rate'::text AS metric, h.start_at AS hour, round(h.min * 0.01, 2) AS min,
       round(h.max * 0.01, 2) AS max, round(h.sum * 0.01 / h.n, 2) AS avg, h.n AS count
FROM pulsebase.h1 AS h WHERE strpos(h.user_id, chr(31)) = 0
UNION ALL
SELECT s.user_id, s.metric, h.start_at, round(h.min::numeric / m.scale, 2), round(h.max::numeric / m.scale, 2),
       round(h.sum::numeric / m.scale / h.n, 2), h.n
FROM pulsebase.series AS s JOIN pulsebase.metrics AS m USING (metric) JOIN pulsebase.h1 AS h ON h.user_id = s.key;

CREATE VIEW public.vital_signs_1d AS
SELECT d.user_id, 'heart_rate'::text AS metric, d.start_at AS day, round(d.min * 0.01, 2) AS min,
       round(d.max * 0.01, 2) AS max, round(d.sum * 0.01 / d.n, 2) AS avg, d.n AS count
FROM pulsebase.d1 AS d WHERE strpos(d.user_id, chr(31)) = 0
UNION ALL
SELECT s.user_id, s.metric, d.start_at, round(d.min::numeric / m.scale, 2), round(d.max::numeric / m.scale, 2),
       round(d.sum::numeric / m.scale / d.n, 2), d.n
FROM pulsebase.series AS s JOIN pulsebase.metrics AS m USING (metric) JOIN pulsebase.d1 AS d ON d.user_id = s.key;

-- Chunks, where the extension is: the tests' plain PostgreSQL has none.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('pulsebase.other_readings', 'timestamp', chunk_time_interval => INTERVAL '7 days',
                                  create_default_indexes => false);
    END IF;
END
$$;
