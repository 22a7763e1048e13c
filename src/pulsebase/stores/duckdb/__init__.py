"""The embedded store: a DuckDB database of ordered readings and rollups, and a journal of what is not merged yet."""
