-- Notes of what commits changed of people's readings, written in their transactions while there is a row in
-- `commit_notes_wanted`. Without a person a note is of everybody, without a metric of all. Times in microseconds UTC.
CREATE TABLE pulsebase.commit_notes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text,
    metric text,
    start_us bigint NOT NULL,
    end_us bigint NOT NULL,
    readings bigint NOT NULL
);
CREATE TABLE pulsebase.commit_notes_wanted (one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row));
