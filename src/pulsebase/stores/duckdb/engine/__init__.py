"""The database file: connections, locks, time limits, backup, check and rewriting."""
