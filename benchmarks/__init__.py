"""Seeded workloads over real HTTP, of Pulsebase and of its peers; see `docs/reference/performance.md`."""
