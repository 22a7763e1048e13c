-- What hours come to in UTC days, as far as counted readings go, see `hours`. It has another name until all days of hours
-- that are there already are in it.
CREATE TABLE {database}.days_unfilled (
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    metric UInt16 CODEC(ZSTD(1)),
    day Int64 CODEC(DoubleDelta, ZSTD(1)),
    of Nested(
        present Array(UInt32),
        device UInt32,
        minutes UInt16,
        n UInt32,
        sum Int64,
        min Int16,
        max Int16
    ) CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(day, 90)
ORDER BY (person, metric, day)
SETTINGS {durable}, index_granularity = 1024;
