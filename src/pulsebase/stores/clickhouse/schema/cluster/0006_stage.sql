-- Rows leave the stage soon, so that merging parts of large commits does not pay: small ones are merged up to this size.
ALTER TABLE {database}.stage MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 8388608;
