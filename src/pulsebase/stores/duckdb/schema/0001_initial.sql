-- Everything but what the journal still holds. Times are microseconds since 1970 in UTC, values hundredths of the unit.

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

-- One row. `merged_seq`: journal rows below it are in `readings`. `epoch` changes whenever a priority does.
CREATE TABLE state (merged_seq BIGINT NOT NULL, epoch BIGINT NOT NULL);
INSERT INTO state VALUES (0, 0);

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
CREATE TABLE origins (origin INTEGER PRIMARY KEY, kind VARCHAR NOT NULL, name VARCHAR NOT NULL, received_at BIGINT NOT NULL);

CREATE TABLE summaries (
    user_no INTEGER NOT NULL,
    day DATE NOT NULL,
    method VARCHAR NOT NULL, -- '' where no method was stated
    resting_heart_rate DOUBLE,
    zones VARCHAR NOT NULL, -- JSON
    custom_zones VARCHAR NOT NULL, -- JSON
    PRIMARY KEY (user_no, day, method)
);

-- No key: a merge keeps (user_no, device_no, t) unique. Rows lie in runs ordered by (chunk, user_no, t).
CREATE TABLE readings (
    chunk INTEGER NOT NULL, -- weeks since 1970
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    t BIGINT NOT NULL,
    v SMALLINT NOT NULL,
    confidence TINYINT,
    origin INTEGER NOT NULL
);

-- Per device, whatever the priorities. `n` … `minutes` are of counted readings (null min and max where there is none),
-- `n_all`, `first_t`, `last_t` of all.
CREATE TABLE h1_dev (
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    hour INTEGER NOT NULL, -- hours since 1970
    n INTEGER NOT NULL,
    sum BIGINT NOT NULL,
    min SMALLINT,
    max SMALLINT,
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
