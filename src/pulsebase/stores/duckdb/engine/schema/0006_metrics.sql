-- The metrics of which there ever were readings. In the tables of readings and rollups `user_no` is the number of a
-- series: the person's number plus 33554432 (2^25) times the metric's.
CREATE TABLE metrics (
    metric_no INTEGER PRIMARY KEY,
    name VARCHAR NOT NULL UNIQUE,
    unit VARCHAR NOT NULL,
    scale INTEGER NOT NULL -- stored units in one unit
);
INSERT INTO metrics VALUES (0, 'heart_rate', 'bpm', 100);

-- For people's own SQL: readings and resolved hours and days of every metric.
CREATE VIEW vital_signs AS
SELECT make_timestamp(t) AS timestamp, metrics.name AS metric, v / scale AS value, unit, user_id, device_id,
       nullif(confidence, -1) AS confidence
FROM readings JOIN metrics ON readings.user_no // 33554432 = metric_no
JOIN users ON readings.user_no & 33554431 = users.user_no JOIN devices USING (device_no);

CREATE VIEW vital_signs_1h AS
SELECT user_id, metrics.name AS metric, make_timestamp(hour::BIGINT * 3600000000) AS hour, min / scale AS min,
       max / scale AS max, sum / (scale * n) AS avg, n AS count
FROM h1 JOIN metrics ON h1.user_no // 33554432 = metric_no JOIN users ON h1.user_no & 33554431 = users.user_no;

CREATE VIEW vital_signs_1d AS
SELECT user_id, metrics.name AS metric, make_timestamp(day::BIGINT * 86400000000) AS day, min / scale AS min,
       max / scale AS max, sum / (scale * n) AS avg, n AS count
FROM d1 JOIN metrics ON d1.user_no // 33554432 = metric_no JOIN users ON d1.user_no & 33554431 = users.user_no;
