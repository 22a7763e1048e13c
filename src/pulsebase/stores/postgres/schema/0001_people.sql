-- What is kept of people besides readings. Tables are in the schema `pulsebase`, so that they meet nobody else's; daily
-- summaries are in the table that people's own SQL knows. Texts are compared by bytes where order matters (COLLATE "C"),
-- whatever the database's collation.

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

-- What brought readings.
CREATE TABLE pulsebase.origins (
    origin integer PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, name)
);

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
