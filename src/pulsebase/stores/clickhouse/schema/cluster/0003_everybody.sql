-- The rollups of all shards, and what expired readings came to: quarters of an hour (counted from 1970) as they were
-- resolved between devices when the horizon passed them. Of hours that have expired `hours` keeps each device's.

CREATE TABLE IF NOT EXISTS {database}.all_hours AS {database}.hours
ENGINE = Distributed({cluster}, {database}, hours, person);

CREATE TABLE IF NOT EXISTS {database}.kept (
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    metric UInt16 CODEC(ZSTD(1)),
    quarter Int64 CODEC(DoubleDelta, ZSTD(1)),
    n UInt32 CODEC(ZSTD(1)),
    sum Int64 CODEC(ZSTD(1)),
    min Int16 CODEC(ZSTD(1)),
    max Int16 CODEC(ZSTD(1)),
    minutes UInt8 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(quarter, 35040)
ORDER BY (person, metric, quarter)
SETTINGS {durable};

CREATE TABLE IF NOT EXISTS {database}.all_kept AS {database}.kept
ENGINE = Distributed({cluster}, {database}, kept, person);
