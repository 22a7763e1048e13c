-- Metrics besides heart rate, and the series of people in them.

-- The metrics of which there ever were readings.
CREATE TABLE pulsebase.metrics (
    metric text PRIMARY KEY,
    unit text NOT NULL,
    scale integer NOT NULL -- stored units in one unit
);
INSERT INTO pulsebase.metrics VALUES ('heart_rate', 'bpm', 100);

-- The series of other metrics than heart rate.
CREATE TABLE pulsebase.series (
    key text PRIMARY KEY,
    user_id text NOT NULL,
    metric text NOT NULL,
    UNIQUE (user_id, metric)
);
