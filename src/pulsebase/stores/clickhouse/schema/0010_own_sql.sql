-- What views for people's own SQL, which are in the cluster, ask of this database: the names of people and devices, and
-- before which time readings have expired. Whoever reads these needs no right to the tables.
CREATE VIEW pulsebase.sql_people AS SELECT user_no AS person, user_id FROM pulsebase.users;
CREATE VIEW pulsebase.sql_devices AS SELECT device_no AS device, device_id FROM pulsebase.devices;
CREATE VIEW pulsebase.sql_state AS SELECT expired_us FROM pulsebase.commit_marks;
