-- What the store keeps. Its own tables are in the schema `pulsebase`, so that they meet nobody else's; readings and
-- daily summaries are in the tables that people's own SQL knows. Texts are compared by bytes where order matters
-- (COLLATE "C"), whatever the database's collation.

CREATE TABLE pulsebase.users (
    user_id text PRIMARY KEY,
    user_no bigint GENERATED ALWAYS AS IDENTITY, -- another one for somebody who was removed and comes again
    name text,
    name_folded text, -- for a search that ignores case in every language
    gender text,
    birth_date date,
    time_zone text
);
CREATE INDEX users_by_bytes ON pulsebase.users (user_id COLLATE "C");

-- From `valid_from` on, until the next row of the same person and device; a null priority is the device's default.
CREATE TABLE pulsebase.priorities (
    user_id text NOT NULL,
    device_id text NOT NULL,
    valid_from timestamptz NOT NULL,
    priority integer,
    PRIMARY KEY (user_id, device_id, valid_from)
);

-- Every device a person has or had readings or priorities of.
CREATE TABLE pulsebase.devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    PRIMARY KEY (user_id, device_id)
);
CREATE TABLE pulsebase.origins (
    origin integer PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, name)
);

-- Readings as they arrive. The commit that adds rows here is the acknowledgement; a merge takes them further and removes
-- them. `seq` grows from commit to commit: of one reading the highest wins, and any of them wins over the hypertable.
-- `v` is in hundredths of the unit.
CREATE SEQUENCE pulsebase.stage_seq;
CREATE TABLE pulsebase.stage (
    seq bigint NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    timestamp timestamptz NOT NULL,
    v smallint NOT NULL,
    confidence smallint,
    origin integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
CREATE INDEX stage_by_person ON pulsebase.stage (user_id, timestamp);

-- Every merged reading. The index has the name of the one that other programs make on such a table if it is missing:
-- theirs knows no devices and would refuse the second one.
CREATE TABLE IF NOT EXISTS public.activities_heart_intraday (
    timestamp timestamptz NOT NULL,
    value numeric(5, 2) NOT NULL,
    user_id text NOT NULL,
    device_id text NOT NULL,
    confidence smallint,
    origin integer NOT NULL
);
CREATE UNIQUE INDEX idx_activities_heart_intraday_timestamp_user_id
    ON public.activities_heart_intraday (user_id, timestamp, device_id);

-- One row a person, day and method; `timestamp` is the day's midnight in UTC.
CREATE TABLE IF NOT EXISTS public.activities_heart_summary (
    timestamp timestamptz NOT NULL,
    resting_heart_rate double precision,
    heart_rate_zones jsonb,
    custom_heart_rate_zones jsonb,
    user_id text NOT NULL,
    method text NOT NULL
);
CREATE UNIQUE INDEX activities_heart_summary_key ON public.activities_heart_summary (user_id, timestamp, method);

-- Rollups of the merged readings, changed by merges alone; `start_at` is where the bucket starts. Values are in
-- hundredths. Per device, whatever the priorities: `n` to `minutes` are of counted readings (min and max are 0 where
-- there is none), `n_all`, `first_at`, `last_at` of all; `origin` is what brought all of them, null where several did.
CREATE TABLE pulsebase.h1_dev (
    user_id text NOT NULL,
    device_id text NOT NULL,
    start_at timestamptz NOT NULL,
    n bigint NOT NULL,
    sum bigint NOT NULL,
    min smallint NOT NULL,
    max smallint NOT NULL,
    minutes bigint NOT NULL,
    n_all bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    origin integer,
    PRIMARY KEY (user_id, start_at, device_id)
);
CREATE INDEX h1_dev_of_several_origins ON pulsebase.h1_dev (user_id) WHERE origin IS NULL;

-- What is stored of each device by UTC day, for overviews of many people over many years.
CREATE TABLE pulsebase.d1_dev (
    user_id text NOT NULL,
    device_id text NOT NULL,
    start_at timestamptz NOT NULL,
    n_all bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    origin integer,
    PRIMARY KEY (user_id, start_at, device_id)
);

-- Devices resolved: quarters of an hour, hours, UTC days.
CREATE TABLE pulsebase.q15 (
    user_id text NOT NULL,
    start_at timestamptz NOT NULL,
    n bigint NOT NULL,
    sum bigint NOT NULL,
    min smallint NOT NULL,
    max smallint NOT NULL,
    minutes bigint NOT NULL,
    PRIMARY KEY (user_id, start_at)
);
CREATE TABLE pulsebase.h1 (LIKE pulsebase.q15 INCLUDING ALL);
CREATE TABLE pulsebase.d1 (LIKE pulsebase.q15 INCLUDING ALL);

-- The hours between which merges have changed what the aggregates for people's own SQL show, since these were refreshed,
-- and when the first of those merges was.
CREATE TABLE pulsebase.stale (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    changes bigint NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now()
);
