-- What readings come to, worked out by merges from all readings of a minute or an hour. One row holds all devices, so
-- that it is replaced as a whole; of several the one with the highest `version`, the last commit of its merge, is right.
-- No row depends on priorities of devices: which of them is shown is decided when the question is asked.

-- `n` to `max` are of counted readings, the rest of all. `minute` counts from 1970. No devices: nothing is left.
CREATE TABLE IF NOT EXISTS {database}.minutes (
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    metric UInt16 CODEC(ZSTD(1)),
    minute Int64 CODEC(DoubleDelta, ZSTD(1)),
    of Nested(
        device UInt32,
        n UInt32,
        sum Int64,
        min Int16,
        max Int16,
        n_all UInt32,
        first Int64,
        last Int64,
        first_origin UInt32,
        last_origin UInt32
    ) CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(minute, 43200)
ORDER BY (person, metric, minute)
SETTINGS {durable};

-- The same of hours, for each set of devices apart: `present` are those with counted readings in a minute, in order, and
-- `device` comes to this in all minutes of the hour with just these. So the winner of these minutes is one of them.
CREATE TABLE IF NOT EXISTS {database}.hours (
    person UInt64 CODEC(DoubleDelta, ZSTD(1)),
    metric UInt16 CODEC(ZSTD(1)),
    hour Int64 CODEC(DoubleDelta, ZSTD(1)),
    of Nested(
        present Array(UInt32),
        device UInt32,
        minutes UInt8,
        n UInt32,
        sum Int64,
        min Int16,
        max Int16,
        n_all UInt32,
        first Int64,
        last Int64,
        first_origin UInt32,
        last_origin UInt32
    ) CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY intDiv(hour, 8760)
ORDER BY (person, metric, hour)
SETTINGS {durable};
