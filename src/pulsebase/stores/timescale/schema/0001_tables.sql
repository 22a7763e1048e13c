-- What the store keeps of readings. Its own tables are in the schema `pulsebase`, so that they meet nobody else's;
-- readings are in the table that people's own SQL knows. Texts are compared by bytes where order matters (COLLATE "C"),
-- whatever the database's collation.

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
