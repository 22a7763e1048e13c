-- Up to which commit days are worked out. A program that knows none cannot say that it has merged.
ALTER TABLE pulsebase.commit_marks ADD COLUMN days_to bigint NOT NULL DEFAULT 0;
UPDATE pulsebase.commit_marks SET days_to = merged;
ALTER TABLE pulsebase.commit_marks ADD CONSTRAINT merged_with_days CHECK (days_to = merged);
