"""What is stored of people: how many readings, the first and the last, by metric and device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import HOUR_US
from pulsebase.model.users import DeviceOverview, MetricOverview, User, UserOverview
from pulsebase.stores.clickhouse.chains import KEY
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import consistent
from pulsebase.stores.clickhouse.stored import Named, listed, looking_up
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.people import find_users, get_user
from pulsebase.stores.postgres.priorities import get_priorities

_NO_LIMIT = Deadline(None, Cancellation())
#: What is stored of each device, by hours.
_OF_HOURS = """
SELECT person, metric, row.1 AS device, row.2 AS n, row.3 AS first, row.4 AS last
FROM (
    SELECT person, metric, arrayJoin(arrayZip(of.device, of.n_all, of.first, of.last)) AS row
    FROM hours FINAL
    WHERE {people} AND hour >= {since} AND {settled}
)
"""
#: The same of hours that hold visible staged rows, reading by reading: what is kept of them is not of this state.
_OF_READINGS = f"""
SELECT person, metric, device, 1 AS n, time AS first, time AS last
FROM rows WHERE {{people}} AND {{visible}} AND (person, metric, intDiv(time, 3600000000)) IN {{fresh}}
GROUP BY {KEY} HAVING argMax(gone, stamp) = 0
"""
_FRESH = "(SELECT person, metric, intDiv(time, 3600000000) FROM stage WHERE {people} AND {staged})"
_TOGETHER = """
SELECT person, metric, device, sum(n) AS readings, min(first) AS first_us, max(last) AS last_us
FROM ({parts}) GROUP BY person, metric, device
"""


class ClickHouseExtent(NamedTuple):
    """What is stored of a person's device in one metric: at least one reading, or one that has expired."""

    user_id: str
    metric: str
    device_id: str
    readings: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """What PostgreSQL says of a question about people, all of one moment."""

    users: Sequence[User]
    named: Named

    @property
    def state(self) -> Snapshot:
        """Which rows of the cluster are visible at that moment."""
        return self.named.state


class Overviews:
    """Answers what is stored of people. Methods keep the promises of their names in `contract.Reader`, and may be used
    by many threads.
    """

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        return self._overviews(lambda connection: find_users(connection, text, limit, after))

    def overview(self, user_id: str) -> UserOverview | None:
        def look(connection: Connection) -> list[User]:
            user = get_user(connection, user_id)
            return [] if user is None else [user]

        return next(iter(self._overviews(look)), None)

    def _overviews(self, find: Callable[[Connection], Sequence[User]]) -> list[UserOverview]:
        users, found = self._of(find)
        of_user: dict[str, list[ClickHouseExtent]] = {user.user_id: [] for user in users}
        for extent in found:
            of_user[extent.user_id].append(extent)
        return [UserOverview(user, *_together(of_user[user.user_id])) for user in users]

    def metrics(self, user_id: str) -> list[MetricOverview]:
        of_metric: dict[str, list[ClickHouseExtent]] = {}
        for extent in self._of_person(user_id):
            of_metric.setdefault(extent.metric, []).append(extent)
        return [MetricOverview(metric, *_together(of_metric[metric])) for metric in sorted(of_metric)]

    def devices(self, user_id: str) -> list[DeviceOverview]:
        of_device: dict[str, list[ClickHouseExtent]] = {}
        ranked: set[str] = set()

        def find(connection: Connection) -> Sequence[User]:
            ranked.clear()
            ranked.update(entry.device_id for entry in get_priorities(connection, user_id))
            return [User(user_id)]

        for extent in self._of(find)[1]:
            of_device.setdefault(extent.device_id, []).append(extent)
        return [
            DeviceOverview(device_id, *_together(of_device.get(device_id, [])))
            for device_id in sorted(of_device.keys() | ranked, key=str.encode)
        ]

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        asked = (device_id, metric)
        of_device = (each for each in self._of_person(user_id) if (each.device_id, each.metric) == asked)
        return next((each.last_us for each in of_device), None)

    def _of_person(self, user_id: str) -> list[ClickHouseExtent]:
        return self._of(lambda _: [User(user_id)])[1]

    def _of(self, find: Callable[[Connection], Sequence[User]]) -> tuple[Sequence[User], list[ClickHouseExtent]]:
        """Return the people whom `find` finds, and what is stored of each of their devices, all readings included."""

        def look(connection: Connection) -> _Asked | None:
            users = find(connection)
            named = looking_up([user.user_id for user in users])(connection)
            return None if named is None else _Asked(users, named)

        def ask(asked: _Asked) -> tuple[Sequence[User], list[ClickHouseExtent]]:
            return asked.users, self._extents(asked.named)

        return consistent(self._database, look, ask, _NO_LIMIT) or ([], [])

    def _extents(self, named: Named) -> list[ClickHouseExtent]:
        found = extents(self._cluster, named.people, named.state, self._options.question_limit_s)
        return [
            ClickHouseExtent(named.people[person], named.metrics[metric], named.devices[device], *rest)
            for (person, metric, device), rest in found.items()
        ]


def extents(
    cluster: ClickHouse, people: Collection[int], state: Snapshot, limit_s: float, *, expired: bool = True
) -> dict[tuple[int, int, int], tuple[int, int, int]]:
    """Return how many readings there are, the first and the last, by person, metric and device, all as numbers.

    Without `expired`, only those that have not expired.
    """
    of_people = f"person IN {listed(people)}"
    since = 0 if expired else state.horizon_us // HOUR_US
    fresh = _FRESH.format(people=of_people, staged=state.staged())
    nothing_staged = state.last == state.merged
    settled = "true" if nothing_staged else f"(person, metric, hour) NOT IN {fresh}"
    parts = [_OF_HOURS.format(people=of_people, since=since, settled=settled)]
    if not nothing_staged:
        parts.append(_OF_READINGS.format(people=of_people, visible=state.condition(), fresh=fresh))
    statement = _TOGETHER.format(parts=" UNION ALL ".join(parts))
    person = next(iter(people)) if len(people) == 1 else None
    return {
        (row["person"], row["metric"], row["device"]): (row["readings"], row["first_us"], row["last_us"])
        for answer in cluster.ask_shards(statement, limit_s, person)
        for row in answer.to_pylist()
    }


def _together(found: Sequence[ClickHouseExtent]) -> tuple[int, int | None, int | None]:
    """Return how many readings there are, the first and the last."""
    return (
        sum(each.readings for each in found),
        min((each.first_us for each in found), default=None),
        max((each.last_us for each in found), default=None),
    )
