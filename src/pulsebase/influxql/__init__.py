"""InfluxQL, the query language of InfluxDB 1: read, planned onto the resolutions of the stores, and answered."""
