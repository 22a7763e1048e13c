-- What takes the owner of the tables, for a role that is not: see `roles.py`. Each does one thing, to tables of ours.

-- Writes a table anew, so that nothing is left of rows that are gone: what VACUUM (FULL, ANALYZE) does, which cannot run
-- inside of a function. The table is locked meanwhile.
CREATE FUNCTION pulsebase.write_anew(which regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_index name;
BEGIN
    SELECT c.relname INTO by_index FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = which AND i.indisvalid AND i.indpred IS NULL
    ORDER BY i.indisprimary DESC, i.indisunique DESC, c.relname LIMIT 1;
    EXECUTE format('CLUSTER %s USING %I', which, by_index);
    EXECUTE format('ALTER TABLE %s SET WITHOUT CLUSTER', which);
    EXECUTE format('ANALYZE %s', which);
END
$$;

REVOKE EXECUTE ON FUNCTION pulsebase.write_anew(regclass) FROM PUBLIC;
