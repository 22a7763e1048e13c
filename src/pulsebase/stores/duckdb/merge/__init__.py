"""Merges: from the stage into ordered readings and rollups, with compaction and flow control."""
