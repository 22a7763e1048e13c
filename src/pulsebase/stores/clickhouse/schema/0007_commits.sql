-- What decides which rows of the cluster are seen. A row there carries the number of its commit, and is visible when
-- that commit is done.

-- Commits that are not merged yet. Numbers are given out by `commit_marks` one transaction after the other, so whoever
-- sees one sees all before it. One that stays in flight beyond `ends_at` is aborted by whoever comes upon it.
CREATE TABLE pulsebase.commits (
    number bigint PRIMARY KEY,
    state text NOT NULL DEFAULT 'in flight' CHECK (state IN ('in flight', 'done', 'aborted')),
    readings bigint NOT NULL DEFAULT 0, -- rows in the stage
    ends_at timestamptz NOT NULL
);
CREATE INDEX commits_not_done ON pulsebase.commits (number) WHERE state <> 'done';

-- `last`: the newest number. Up to `merging_to` a merge may have begun to write into the readings, up to `merged` all
-- of it is there, and up to `dropped_to` rows may be gone from the stage. `merged_readings`: how many have been merged.
-- `store` is noted on every shard too, so that no other cluster is taken for this one's.
CREATE TABLE pulsebase.commit_marks (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    last bigint NOT NULL DEFAULT 0,
    merging_to bigint NOT NULL DEFAULT 0,
    merged bigint NOT NULL DEFAULT 0,
    merged_readings bigint NOT NULL DEFAULT 0,
    dropped_to bigint NOT NULL DEFAULT 0,
    store uuid NOT NULL DEFAULT gen_random_uuid(),
    CHECK (dropped_to <= merged AND merged <= merging_to AND merging_to <= last)
);
INSERT INTO pulsebase.commit_marks DEFAULT VALUES;

-- Work that one process at a time does, and until when it is its own.
CREATE TABLE pulsebase.leases (
    name text PRIMARY KEY,
    holder uuid NOT NULL,
    ends_at timestamptz NOT NULL
);

-- The numbers under which the cluster knows people (`user_no`), their devices and metrics. Somebody who was removed and
-- comes again gets another one, and so do their devices.
ALTER TABLE pulsebase.users ADD UNIQUE (user_no);
ALTER TABLE pulsebase.devices ADD COLUMN device_no integer GENERATED ALWAYS AS IDENTITY;
ALTER TABLE pulsebase.metrics ADD COLUMN metric_no smallint GENERATED ALWAYS AS IDENTITY;
