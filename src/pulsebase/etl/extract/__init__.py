"""Extractors: they ask a source and hand on what it said, unchanged."""
