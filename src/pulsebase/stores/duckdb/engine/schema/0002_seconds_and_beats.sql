-- Whole seconds and whole beats apart from what is left over: most devices send neither fractions of a second nor of a
-- beat, so those columns are constant and cost nothing, and the steps between the whole ones need few bits.
ALTER TABLE readings RENAME TO former;

-- No key: merges keep (user_no, device_no, second, microsecond) unique. Rows lie in runs ordered by (UTC day, user_no,
-- device_no, second, microsecond), or in older stretches by (user_no, device_no, second, microsecond).
CREATE TABLE stored (
    user_no INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    second BIGINT NOT NULL, -- since 1970
    microsecond INTEGER NOT NULL, -- of the second
    beats SMALLINT NOT NULL, -- whole ones a minute
    hundredths TINYINT NOT NULL, -- of a beat a minute
    confidence TINYINT NOT NULL, -- -1 for none
    origin INTEGER NOT NULL
);
INSERT INTO stored
SELECT user_no, device_no, t // 1000000, t % 1000000, v // 100, v - v // 100 * 100, confidence, origin FROM former;
DROP TABLE former;

-- `second` is there for conditions on it, which let the engine skip whole blocks; one on `t` does not.
CREATE VIEW readings AS
SELECT user_no, device_no, second * 1000000 + microsecond AS t, (beats::INTEGER * 100 + hundredths)::SMALLINT AS v,
       confidence, origin, second
FROM stored;
