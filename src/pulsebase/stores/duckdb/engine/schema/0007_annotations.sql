-- What people note about a moment (without an end) or a stretch of time, in microseconds UTC.
CREATE TABLE annotations (
    user_no INTEGER NOT NULL,
    annotation_id VARCHAR NOT NULL,
    start_us BIGINT NOT NULL,
    end_us BIGINT,
    text VARCHAR NOT NULL,
    PRIMARY KEY (user_no, annotation_id)
);
