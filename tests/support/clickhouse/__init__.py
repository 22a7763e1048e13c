"""A ClickHouse cluster for the tests: the real engine (chdb), a process a shard, behind servers of ours.

No package brings a ClickHouse server. `chdb` is its engine as a library: it can ask other servers, so that
`Distributed` tables work, but nobody can ask it. The servers here speak as much of the native protocol as such tables
need, and as much HTTP as `clickhouse-connect` needs. A shard answers whole questions only: questions that shards would
answer in part (`distributed_group_by_no_merge=0` over several shards) are refused.

What only a real cluster can show: replicas, quorums, `ON CLUSTER`, and a machine that fails.
"""
