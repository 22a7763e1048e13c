"""The server store: TimescaleDB hypertables of readings, rollups that Pulsebase maintains, and a staging table."""
