-- Readings of one shard, and what reaches them from any server of the cluster. What stands in braces is filled in.
-- A person lies on one shard (`person` modulo the shards), so every shard answers whole.

-- One row: whose readings these are (`store` of the log of commits), and where the shard stands among how many.
CREATE TABLE IF NOT EXISTS {database}.belongs (store UUID, shard UInt32, shards UInt32)
ENGINE = MergeTree ORDER BY store
SETTINGS {durable};

-- Rows as they arrive. `stamp` is the number of the commit times 2^24, plus the row's place in it: of one reading the
-- highest visible one wins. `settles`: the row gives the reading its origin even if it changes nothing. `gone`: the
-- reading is deleted. `confidence` is -1 for none. Small commits are small parts, of which the engine merges many at
-- once: a merge costs about as much as an insertion.
CREATE TABLE IF NOT EXISTS {database}.stage (
    person UInt64,
    metric UInt16,
    time Int64 CODEC(DoubleDelta, LZ4),
    device UInt32,
    value Int16,
    confidence Int8,
    origin UInt32,
    settles UInt8,
    gone UInt8,
    stamp UInt64
) ENGINE = MergeTree
PARTITION BY intDiv(stamp, {partition})
ORDER BY (person, metric, time, device, stamp)
SETTINGS {durable}, min_parts_to_merge_at_once = 16;

-- The last merged row of each reading. Of several the one with the highest stamp is right; the engine drops the others
-- in its own time. A partition is 30 days of the readings' times, so all rows of a reading lie in one. A merge looks at a
-- block of each person who has new readings, so blocks are short.
CREATE TABLE IF NOT EXISTS {database}.readings (
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    metric UInt16 CODEC(ZSTD(1)),
    time Int64 CODEC(DoubleDelta, ZSTD(1)),
    device UInt32 CODEC(ZSTD(1)),
    value Int16 CODEC(Delta, ZSTD(1)),
    confidence Int8 CODEC(ZSTD(1)),
    origin UInt32 CODEC(ZSTD(1)),
    gone UInt8 CODEC(ZSTD(1)),
    stamp UInt64 CODEC(DoubleDelta, ZSTD(1))
) ENGINE = ReplacingMergeTree(stamp)
PARTITION BY intDiv(time, 2592000000000)
ORDER BY (person, metric, time, device)
SETTINGS {durable}, index_granularity = 2048;

-- Everything of the shard. `merged` tells where a row lies; whoever asks says which commits are visible.
CREATE OR REPLACE VIEW {database}.rows AS
SELECT person, metric, time, device, value, confidence, origin, 0 AS settles, gone, stamp, true AS merged
FROM {database}.readings
UNION ALL
SELECT person, metric, time, device, value, confidence, origin, settles, gone, stamp, false AS merged
FROM {database}.stage;

CREATE TABLE IF NOT EXISTS {database}.all_stage AS {database}.stage
ENGINE = Distributed({cluster}, {database}, stage, person);

CREATE TABLE IF NOT EXISTS {database}.all_rows AS {database}.rows
ENGINE = Distributed({cluster}, {database}, rows, person);
