-- What exports, removals and expiry leave for the merges and for the cluster.

-- How often rows of people who were removed have begun to be wiped out of the cluster.
ALTER TABLE pulsebase.commit_marks ADD COLUMN scrubs bigint NOT NULL DEFAULT 0;

-- States that exports read, for as long as they say: merges go no further than `merge_to`, and rows beyond `drop_to` stay
-- in the stage.
CREATE TABLE pulsebase.held_states (
    holder uuid PRIMARY KEY,
    merge_to bigint NOT NULL,
    drop_to bigint NOT NULL,
    ends_at timestamptz NOT NULL
);

-- People whose rows may still be in the cluster: the numbers of those who were removed. Commits up to `last` may have
-- rows of them, and merges up to `merging_to` may have brought them among the readings.
CREATE TABLE pulsebase.removed_people (
    person bigint PRIMARY KEY,
    last bigint NOT NULL,
    merging_to bigint NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The horizon of questions, in microseconds UTC: that of writes (`horizon`) moves first. What readings before it come to
-- is kept in the cluster, under the number of the attempt.
ALTER TABLE pulsebase.commit_marks ADD COLUMN expired_us bigint NOT NULL DEFAULT 0;
CREATE SEQUENCE pulsebase.expiry_attempts;
