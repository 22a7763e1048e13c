"""The server store: TimescaleDB hypertables of readings, rollups of our own, and a staging table before them."""
