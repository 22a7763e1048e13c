"""Queries: consistent snapshots, series, totals, overviews, exports and users' own SQL."""
