-- Who has a commit in flight: the session that took its number, and since when. A process that dies leaves its sessions
-- with it, so nobody has to wait until its commits' time is up.
ALTER TABLE pulsebase.commits ADD COLUMN session integer, ADD COLUMN began_at timestamptz;
ALTER TABLE pulsebase.commits ALTER COLUMN session SET DEFAULT pg_backend_pid();
ALTER TABLE pulsebase.commits ALTER COLUMN began_at SET DEFAULT clock_timestamp();
