"""The routes, one router per subject. Each is served under `/v1`, and at the root for callers of the older paths."""
