"""The write-ahead journal: every acknowledged commit, on the disk before any merge."""
