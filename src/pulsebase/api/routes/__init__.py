"""One router a subject. Each is served under `/v1` and, for callers of the older paths, at the root."""
