"""The store for what outgrows one machine: readings in a ClickHouse cluster, the log of commits in PostgreSQL."""
