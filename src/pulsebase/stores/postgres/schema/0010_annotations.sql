-- What people note about a moment (without an end) or a stretch of time.
CREATE TABLE pulsebase.annotations (
    user_id text NOT NULL,
    annotation_id text NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz,
    text text NOT NULL,
    PRIMARY KEY (user_id, annotation_id)
);
