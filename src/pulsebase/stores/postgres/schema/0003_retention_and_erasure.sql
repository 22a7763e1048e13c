-- Where rows of people who were removed lay, until what held them was written anew.
CREATE TABLE pulsebase.to_scrub (start_at timestamptz NOT NULL, end_at timestamptz NOT NULL);

-- People for whom nothing is taken any more, by a keyed hash of their ids, and the receipts of erasures. The key is here
-- too unless a setting gives it.
CREATE TABLE pulsebase.erased (mark bytea PRIMARY KEY);
CREATE TABLE pulsebase.erasure_receipts (erasure_id text PRIMARY KEY, requested_us bigint NOT NULL, receipt text NOT NULL);
CREATE TABLE pulsebase.erasure_key (one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row), key bytea NOT NULL);

-- Raw readings before it have expired: of the hours before it nothing is worked out again.
CREATE TABLE pulsebase.horizon (one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row), start_at timestamptz NOT NULL);
INSERT INTO pulsebase.horizon (start_at) VALUES ('epoch');
