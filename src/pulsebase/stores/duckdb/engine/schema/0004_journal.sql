-- What tells whether a journal belongs to this database, and to this state of it. `merged_file`: the journal's file that
-- holds the row before `merged_seq`; empty until the first merge of a database that older versions made. `changes`: how
-- often the database was changed.
ALTER TABLE state ADD COLUMN merged_file VARCHAR DEFAULT '';
ALTER TABLE state ADD COLUMN changes BIGINT DEFAULT 0;
