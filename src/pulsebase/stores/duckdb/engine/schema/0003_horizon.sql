-- Raw readings before this hour have expired: of the hours before it nothing is worked out again.
ALTER TABLE state ADD COLUMN horizon_hour BIGINT DEFAULT 0;
