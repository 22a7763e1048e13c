"""What a user would otherwise install, each through its own fastest documented way in."""

from benchmarks.peers.influxdb import InfluxDB
from benchmarks.peers.postgres import Postgres
from benchmarks.peers.specification import Specification
from benchmarks.peers.victoria import VictoriaMetrics
from benchmarks.system import System

PEERS: tuple[System, ...] = (Specification(), Postgres(), InfluxDB(), VictoriaMetrics())

__all__ = ["PEERS"]
