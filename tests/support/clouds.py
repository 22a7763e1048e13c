"""Simulated clouds on real sockets, an installation that asks them, and a clock that both go by."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx2 as httpx
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.api.server.http_server import serving
from pulsebase.etl.state import RunFilter, RunReport
from pulsebase.model.timerange import DAY_US, SECOND_US, TimeRange
from pulsebase.model.users import User
from pulsebase.settings import Settings
from pulsebase.sources.simulators.authorization import AuthorizationServer
from pulsebase.sources.simulators.faults import Fault, Faults
from pulsebase.sources.simulators.fitbit import HOURLY_LIMIT, fitbit_app
from pulsebase.sources.simulators.google import MINUTE_LIMIT, google_app
from pulsebase.sources.simulators.nights import night_of
from pulsebase.sources.simulators.oura import REQUEST_LIMIT, oura_app
from pulsebase.sources.simulators.polar import REQUEST_LIMIT as POLAR_LIMIT
from pulsebase.sources.simulators.polar import polar_app
from pulsebase.sources.simulators.withings import CLIENT_SECRET, withings_app
from pulsebase.sources.simulators.withings import REQUEST_LIMIT as WITHINGS_LIMIT
from pulsebase.sources.simulators.world import SimulatorClock, World
from pulsebase.sources.synthetic import DEMO_PEOPLE, Samples, SyntheticPerson, samples_between
from pulsebase.wiring import BuiltServer, build
from tests.stores.harness import at

SOURCES = ("fitbit", "google", "oura", "polar", "withings")
#: Those whose access tokens end, and are renewed.
RENEW = ("fitbit", "google", "oura", "withings")
#: Those that state instants, whatever zone the person has here.
STATE_INSTANTS = ("fitbit", "google", "oura", "withings")
#: Those that tell of days: the resting heart rate, and the time in zones.
TELL_DAYS = ("fitbit", "google")
#: When it is, and the first day that is brought.
NOW_US = at("2025-06-12T15:20:00")
FIRST_DAY = "2025-06-11"
#: For clients of simulators, whose line is not encrypted: reading the authorities takes longer than the answer.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
Row = tuple[int, int]  # time, value in hundredths
IN_MEMORY = {"store_url": "memory://"}
#: What each source gives, in the order in which it is brought.
DATA_SETS = {
    "fitbit": (
        *("heart_rate", "heart_rate_summary", "oxygen_saturation", "respiratory_rate", "hrv_rmssd"),
        "skin_temperature_delta",
    ),
    "google": (
        *("heart_rate", "heart_rate_summary", "oxygen_saturation", "respiratory_rate", "hrv_rmssd", "hrv_sdnn"),
        *("skin_temperature", "skin_temperature_delta"),
    ),
    "oura": ("heart_rate", "oxygen_saturation", "respiratory_rate", "hrv_rmssd", "skin_temperature_delta"),
    "polar": ("heart_rate", "respiratory_rate", "hrv_rmssd"),
    "withings": ("heart_rate", "oxygen_saturation", "respiratory_rate", "hrv_rmssd", "hrv_sdnn"),
}
#: For tests that count requests.
HEART_RATE_ALONE = "heart_rate,heart_rate_summary"


@dataclass(frozen=True, slots=True)
class SimulatedCloud:
    """A cloud that runs."""

    source: str
    url: str
    world: SparseWorld
    authorization: AuthorizationServer

    @property
    def clock(self) -> SimulatorClock:
        return self.world.clock

    def fault(self, name: str, share: float = 0.0, following: int = 0, **more: Any) -> None:
        self.world.faults.set(name, Fault(share, following, **more))

    def mend(self, name: str) -> None:
        self.world.faults.set(name, None)

    def settings(self, **more: Any) -> dict[str, Any]:
        """The settings of an installation that asks this cloud."""
        if self.source == "fitbit":
            return {"fitbit_url": self.url} | more
        if self.source == "oura":
            return {
                "oura_url": self.url,
                "oura_auth_url": f"{self.url}/oauth/authorize",
                "oura_client_id": "tests",
                "oura_client_secret": "not a secret",
            } | more
        if self.source == "polar":
            return {
                "polar_url": self.url,
                "polar_auth_url": f"{self.url}/oauth2/authorization",
                "polar_token_url": f"{self.url}/v2/oauth2/token",
                "polar_client_id": "tests",
                "polar_client_secret": "not a secret",
            } | more
        if self.source == "withings":
            return {
                "withings_url": self.url,
                "withings_auth_url": f"{self.url}/oauth2_user/authorize2",
                "withings_client_id": "tests",
                "withings_client_secret": CLIENT_SECRET,
            } | more
        return {
            "google_url": self.url,
            "google_auth_url": f"{self.url}/o/oauth2/v2/auth",
            "google_token_url": f"{self.url}/token",
            "google_client_id": "tests",
            "google_client_secret": "not a secret",
        } | more


class NotedFaults(Faults):
    """Faults that remember which of them ever hit anything."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seen: set[str] = set()

    def hits(self, name: str, now_us: int, *about: object) -> bool:
        found = super().hits(name, now_us, *about)
        if found:
            self.seen.add(name)
        return found


class SparseWorld(World):
    """One whose wristbands record in seconds that are multiples of `every_s` alone: the same faults over small days."""

    def __init__(self, people: Sequence[SyntheticPerson], now_us: int, every_s: int) -> None:
        super().__init__(people, SimulatorClock(now_us), seed=5)
        self.faults: NotedFaults = NotedFaults(5)
        self.every_s = every_s

    def readings(self, person: SyntheticPerson, interval: TimeRange) -> Samples:
        found = super().readings(person, interval)
        keep = found.times_us // SECOND_US % self.every_s == 0
        return Samples(found.device_id, found.times_us[keep], found.bpm[keep], found.confidences[keep])


_APPS = {
    "fitbit": (fitbit_app, HOURLY_LIMIT),
    "google": (google_app, MINUTE_LIMIT),
    "oura": (oura_app, REQUEST_LIMIT),
    "polar": (polar_app, POLAR_LIMIT),
    "withings": (withings_app, WITHINGS_LIMIT),
}


@contextlib.contextmanager
def simulated(
    source: str,
    people: Sequence[SyntheticPerson] = DEMO_PEOPLE,
    *,
    now_us: int = NOW_US,
    limit: int | None = None,
    every_s: int = 1,
) -> Iterator[SimulatedCloud]:
    """A cloud on a free port, with a clock that stands still. `limit` None is the vendor's."""
    world = SparseWorld(people, now_us, every_s)
    make, usual_limit = _APPS[source]
    app = make(world, usual_limit if limit is None else limit)
    with socket.create_server(("127.0.0.1", 0)) as listener, serving(app, [listener]):
        yield SimulatedCloud(source, f"http://127.0.0.1:{listener.getsockname()[1]}", world, app.state.authorization)


def consent(url: str, person: str, answer: str = "allow", granted: str | None = None) -> dict[str, str]:
    """What comes back from the consent page when this person answers; `granted` are the scopes they leave ticked."""
    more = {} if granted is None else {"granted": granted}
    page = httpx.URL(url).copy_merge_params({"person": person, "answer": answer} | more)
    response = httpx.get(page, follow_redirects=False, trust_env=False, verify=NO_AUTHORITIES)
    assert response.status_code == 302, response.text
    return dict(httpx.URL(response.headers["location"]).params)


class Components:
    """Everything but the network, that asks one cloud and goes by its clock."""

    def __init__(self, parts: BuiltServer, cloud: SimulatedCloud) -> None:
        self.parts, self.cloud = parts, cloud
        self.sync, self.connections = parts.services.sync, parts.services.connections

    def connect(self, user_id: str, person: str | None = None, granted: str | None = None) -> None:
        begun = self.connections.begin(user_id, self.cloud.source, "http://127.0.0.1:1/callback")
        came = consent(begun.url, person or user_id, granted=granted)
        self.connections.finish(self.cloud.source, came["state"], came["code"], None)

    @property
    def data_sets(self) -> list[str]:
        """What is brought from the cloud."""
        chosen = self.parts.settings.data_sets
        return [each for each in DATA_SETS[self.cloud.source] if chosen is None or each in chosen.split(",")]

    def stored_nights(self, user_id: str) -> dict[str, list[Row]]:
        """What the store holds of the metrics that are measured at night, those that are brought."""
        everything = self._stored_of(user_id)
        nights = [name for name in self.data_sets if not name.startswith("heart_rate")]
        return {name: _rows_of(everything, name) for name in nights}

    def bring(self, user_id: str) -> list[RunReport]:
        """One round."""
        return list(self.sync.run(user_id, self.cloud.source))

    def bring_all(self, user_id: str, rounds: int = 40) -> int:
        """Rounds until one goes through, the clock moved to when each is due; how many it took."""
        problem: str | None = None
        for number in range(1, rounds + 1):
            if all(report.outcome in ("done", "missing") for report in self.bring(user_id)):
                return number
            connection = self.sync.state.connection(user_id, self.cloud.source)
            assert connection is not None
            assert connection.due_us is not None, connection.problem
            problem = connection.problem
            self.cloud.clock.set(max(self.cloud.clock.now_us(), connection.due_us))
        raise AssertionError(f"not through after {rounds} rounds: {problem}")

    def bring_or_connect(self, user_id: str) -> None:
        """One round, as it goes; who is asked to connect again does so."""
        self.bring(user_id)
        connection = self.sync.state.connection(user_id, self.cloud.source)
        assert connection is not None
        if connection.needs_person:
            self.connect(user_id)
        elif connection.due_us is not None:
            self.cloud.clock.set(max(self.cloud.clock.now_us(), connection.due_us))

    def stored(self, user_id: str, metric: str = "heart_rate") -> list[Row]:
        """What the store holds of the source's device."""
        return _rows_of(self._stored_of(user_id), metric)

    def last_runs(self, limit: int = 10) -> list[RunReport]:
        return [record.run for record in self.sync.state.runs(RunFilter(limit=limit))]

    def _stored_of(self, user_id: str) -> pa.Table:
        of_device = (pc.field("user_id") == user_id) & (pc.field("device_id") == self.cloud.source)
        return self.parts.store.stored().filter(of_device)


def _rows_of(stored: pa.Table, metric: str) -> list[Row]:
    rows = stored.filter(pc.field("metric") == metric)
    return list(zip(rows["time_us"].to_pylist(), rows["value"].to_pylist(), strict=True))


@contextlib.contextmanager
def installed(cloud: SimulatedCloud, store: Mapping[str, Any] = IN_MEMORY, **settings: Any) -> Iterator[Components]:
    """An installation of an empty store, which settings name, that knows the synthetic people's time zones."""
    chosen = {"start_date": FIRST_DAY} | cloud.settings(**store, **settings)
    with build(Settings(_env_file=None, **chosen), now_us=cloud.clock.now_us) as parts:
        for person in cloud.world.people.values():
            parts.store.put_user(User(person.user_id, time_zone=person.time_zone))
        yield Components(parts, cloud)


def recorded(person: SyntheticPerson, interval: TimeRange, every_s: int = 1) -> list[Row]:
    """What a cloud holds of the person once everything is synced, by code of the tests."""
    return sorted(
        (time_us, round(bpm * 100))
        for piece in samples_between(person, interval)
        if piece.device_id == "fitbit"
        for time_us, bpm, confidence in zip(
            piece.times_us.tolist(), piece.bpm.tolist(), piece.confidences.tolist(), strict=True
        )
        if confidence != 0 and time_us // SECOND_US % every_s == 0
    )


def measured(source: str, person: SyntheticPerson, interval: TimeRange) -> dict[str, list[Row]]:
    """What a source has of the nights in an interval that ends now, by metric and by code of the tests. Values of whole
    nights are as of seven in the morning.
    """
    found: dict[str, list[Row]] = {name: [] for name in DATA_SETS[source] if not name.startswith("heart_rate")}

    def add(metric: str, at_us: int, value: Decimal) -> None:
        if metric in found and interval.start_us <= at_us < interval.end_us:
            found[metric].append((at_us, int((value * 100).to_integral_value(ROUND_HALF_EVEN))))

    zone = ZoneInfo(person.time_zone)
    first, last = (date.fromtimestamp(us / SECOND_US) for us in (interval.start_us - DAY_US, interval.end_us + DAY_US))
    for place in range((last - first).days + 1):
        night = night_of(person, first + timedelta(days=place))
        is_over = night.asleep.end_us <= interval.end_us
        for metric, times_us, values in (
            ("oxygen_saturation", night.oxygen_times_us, night.oxygen),
            ("hrv_rmssd", night.hrv_times_us, night.rmssd),
            ("hrv_sdnn", night.hrv_times_us, night.sdnn),
        ):
            # Oura tells of whole nights alone, and of oxygen saturation the average. Polar has averages alone.
            if source not in ("oura", "polar") or (source == "oura" and is_over and metric != "oxygen_saturation"):
                for at_us, value in zip(times_us.tolist(), values.tolist(), strict=True):
                    add(metric, at_us, Decimal(str(value)))
        if is_over:
            at_us = int(datetime.combine(night.day, time(7), zone).timestamp()) * SECOND_US
            skin, usual = Decimal(str(night.skin_celsius)), Decimal(str(night.usual_celsius))
            if source == "oura":
                add("oxygen_saturation", at_us, Decimal(str(round(float(night.oxygen.mean()), 3))))
            if source == "polar":
                add("hrv_rmssd", at_us, Decimal(round(float(night.rmssd.mean()))))
            add("respiratory_rate", at_us, Decimal(str(night.breaths_a_minute)))
            add("skin_temperature", at_us, skin)
            add("skin_temperature_delta", at_us, round(skin - usual, 1) if source == "fitbit" else skin - usual)
    return found


def seconds(count: float) -> int:
    return int(count * SECOND_US)
