-- The hours once more, in the order of time, for questions about many people: they read few hours of everybody. It has what
-- counted readings come to, and gets its rows with `hours`.
CREATE TABLE IF NOT EXISTS {database}.hours_by_time (
    metric UInt16 CODEC(ZSTD(1)),
    hour Int64 CODEC(DoubleDelta, ZSTD(1)),
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    of Nested(
        present Array(UInt32),
        device UInt32,
        minutes UInt8,
        n UInt32,
        sum Int64,
        min Int16,
        max Int16
    ) CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(hour, 8760)
ORDER BY (metric, hour, person)
SETTINGS {durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.hours_by_time_too TO {database}.hours_by_time AS
SELECT metric, hour, person, of.present, of.device, of.minutes, of.n, of.sum, of.min, of.max, version
FROM {database}.hours;
