-- Everything but what the journal still holds. Times are microseconds since 1970 in UTC, values hundredths of the unit.

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

-- One row. `merged_seq`: journal rows below it are in `readings` or `late`. `late_rows`: how many rows `late` has.
-- `epoch` changes whenever a priority does.
CREATE TABLE state (merged_seq BIGINT NOT NULL, late_rows BIGINT NOT NULL, epoch BIGINT NOT NULL);
INSERT INTO state VALUES (0, 0, 0);

CREATE TABLE users (
    user_no INTEGER PRIMARY KEY,
    user_id VARCHAR NOT NULL,
    name VARCHAR,
    gender VARCHAR,
    birth_date DATE,
    time_zone VARCHAR
);
CREATE TABLE devices (device_no INTEGER PRIMARY KEY, device_id VARCHAR NOT NULL, default_priority INTEGER NOT NULL);

-- From `valid_from` on, until the next row of the same person and device; a null priority is the device's default.
CREATE TABLE priorities (
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    valid_from BIGINT NOT NULL,
    priority INTEGER,
    PRIMARY KEY (user_no, device_no, valid_from)
);
CREATE TABLE origins (
    origin INTEGER PRIMARY KEY,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    received_at BIGINT NOT NULL
);
CREATE TABLE summaries (
    user_no INTEGER NOT NULL,
    day DATE NOT NULL,
    method VARCHAR NOT NULL, -- '' where no method was stated
    resting_heart_rate DOUBLE,
    zones VARCHAR NOT NULL, -- JSON
    custom_zones VARCHAR NOT NULL, -- JSON
    PRIMARY KEY (user_no, day, method)
);

-- No key: merges keep (user_no, device_no, t) unique. Rows lie in runs ordered by (UTC day, user_no, device_no, t).
CREATE TABLE readings (
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    t BIGINT NOT NULL,
    v SMALLINT NOT NULL,
    confidence TINYINT NOT NULL, -- -1 for none
    origin INTEGER NOT NULL
);

-- Rows for hours that were settled long ago, kept apart until there are enough to be worth the search for those hours.
-- They win over `readings`, later ones over earlier ones (`seq`); a value of -32768 says that the reading was deleted.
CREATE TABLE late (
    seq BIGINT NOT NULL,
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    t BIGINT NOT NULL,
    v SMALLINT NOT NULL,
    confidence TINYINT NOT NULL,
    origin INTEGER NOT NULL
);

-- Rollups of `readings`, changed by merges alone. Per device, whatever the priorities: `n` to `minutes` are of counted
-- readings (min and max are 0 where there is none), `n_all`, `first_t`, `last_t` of all.
CREATE TABLE h1_dev (
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    hour INTEGER NOT NULL, -- hours since 1970
    n INTEGER NOT NULL,
    sum BIGINT NOT NULL,
    min SMALLINT NOT NULL,
    max SMALLINT NOT NULL,
    minutes SMALLINT NOT NULL,
    n_all INTEGER NOT NULL,
    first_t BIGINT NOT NULL,
    last_t BIGINT NOT NULL
);

-- Devices resolved.
CREATE TABLE h1 (
    user_no INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    n INTEGER NOT NULL,
    sum BIGINT NOT NULL,
    min SMALLINT NOT NULL,
    max SMALLINT NOT NULL,
    minutes SMALLINT NOT NULL
);
CREATE TABLE d1 (
    user_no INTEGER NOT NULL,
    day INTEGER NOT NULL, -- days since 1970
    n INTEGER NOT NULL,
    sum BIGINT NOT NULL,
    min SMALLINT NOT NULL,
    max SMALLINT NOT NULL,
    minutes SMALLINT NOT NULL
);

-- For people's own SQL, by the names of the specification that these series come from: every stored reading, and the
-- resolved hours and days. Times are UTC.
CREATE VIEW activities_heart_intraday AS
SELECT make_timestamp(t) AS timestamp, v / 100 AS value, user_id, device_id, nullif(confidence, -1) AS confidence
FROM readings JOIN users USING (user_no) JOIN devices USING (device_no);

CREATE VIEW activities_heart_intraday_1h AS
SELECT user_id, make_timestamp(hour::BIGINT * 3600000000) AS hour, min / 100 AS min_heart_rate,
       max / 100 AS max_heart_rate, sum / (100 * n) AS avg_heart_rate, n AS record_count
FROM h1 JOIN users USING (user_no);

CREATE VIEW activities_heart_intraday_1d AS
SELECT user_id, make_timestamp(day::BIGINT * 86400000000) AS day, min / 100 AS min_heart_rate,
       max / 100 AS max_heart_rate, sum / (100 * n) AS avg_heart_rate, n AS record_count
FROM d1 JOIN users USING (user_no);

-- Quarters of an hour, devices resolved, of the people in `q15_users`: those for whom they were asked.
CREATE TABLE q15 (
    user_no INTEGER NOT NULL,
    quarter INTEGER NOT NULL, -- quarters of an hour since 1970
    n INTEGER NOT NULL,
    sum BIGINT NOT NULL,
    min SMALLINT NOT NULL,
    max SMALLINT NOT NULL,
    minutes SMALLINT NOT NULL
);
CREATE TABLE q15_users (user_no INTEGER PRIMARY KEY);
