-- What takes the owner of the tables, for a role that is not: see `roles.py`. Each does one thing, to tables of ours.

-- Drops the chunks of readings before the horizon, which every reading there has expired by.
CREATE FUNCTION pulsebase.drop_expired_chunks() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        'SELECT %I.drop_chunks(%L, older_than => (SELECT start_at FROM pulsebase.horizon))',
        (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb'),
        'public.activities_heart_intraday'
    );
END
$$;

REVOKE EXECUTE ON FUNCTION pulsebase.drop_expired_chunks() FROM PUBLIC;
