"""The journal: what is acknowledged, on the disk before any merge."""
