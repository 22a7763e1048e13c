"""People who are made up: behind a simulated cloud, and those of the demo."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx2 as httpx

from pulsebase.etl.schedule import EverySchedule
from pulsebase.etl.scheduler import Scheduler
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE, SyntheticPerson
from pulsebase.wiring import BuiltServer

#: The demo's live end: how often it is brought, and how far it looks back each time, seconds.
_DEMO_EVERY_S, _DEMO_LOOKBACK_S = 10, 600


@contextlib.contextmanager
def simulated_fitbit(settings: Settings, people: Sequence[SyntheticPerson]) -> Iterator[Settings]:
    """A simulated Fitbit-shaped cloud of these people, its hourly limit lifted; the settings that name it."""
    from pulsebase.sources.simulators.process import unlimited_fitbit

    with unlimited_fitbit(people) as url:
        yield settings.model_copy(update={"fitbit_url": url, "fitbit_client_id": "demo", "fitbit_client_secret": None})


@contextlib.contextmanager
def synthetic_people(
    parts: BuiltServer, people: Sequence[SyntheticPerson], *, with_devices: bool = False
) -> Iterator[None]:
    """The people, connected to their simulated service the way anybody is, and disconnected at the end; `with_devices`
    to what they wear besides their wristbands, too.
    """
    connections = parts.services.connections
    state = parts.services.sync.state
    for person in people:
        if parts.services.rules.erased_users.holds(person.user_id):
            continue  # erased, and not allowed again
        parts.store.put_user(person.as_user())
        begun = connections.begin(person.user_id, "fitbit", "http://127.0.0.1/back")
        consent = httpx.URL(begun.url).copy_merge_params({"person": person.user_id})
        said_yes = httpx.get(consent, follow_redirects=False, trust_env=False)
        code = httpx.URL(said_yes.headers["location"]).params["code"]
        connections.finish("fitbit", begun.state, code, None)
        if with_devices:
            state.connect(person.user_id, "synthetic", None, wall_clock_us())
    try:
        yield
    finally:
        for person in people:
            for source in ("fitbit", "synthetic"):
                connections.disconnect(person.user_id, source)


@contextlib.contextmanager
def demo(parts: BuiltServer) -> Iterator[Scheduler]:
    """The two synthetic people, brought up to now and kept there."""
    with (
        synthetic_people(parts, DEMO_PEOPLE, with_devices=True),
        Scheduler(parts.services.sync, EverySchedule(_DEMO_EVERY_S)) as scheduler,
    ):
        yield scheduler


def demo_settings(settings: Settings) -> Settings:
    """The settings, with the demo's own store and days, and nothing that narrows or widens them. What is kept beside
    the store of the settings, keys say, stays out of it too.
    """
    first_day = (datetime.now(UTC) - timedelta(days=settings.demo_days)).date()
    own = {"store_url": settings.demo_store_url, "clickhouse_url": None, "state_folder": None}
    only = {"user_id": None, "start_date": first_day, "end_date": None, "lookback_s": _DEMO_LOOKBACK_S}
    return settings.model_copy(update=own | only)
