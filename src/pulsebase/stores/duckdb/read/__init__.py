"""Answers: consistent snapshots, series, totals, overviews, exports and people's own SQL."""
