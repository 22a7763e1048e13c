"""Each client against its simulated cloud over real HTTP, through every fault, to exactly what the cloud has."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pytest

from pulsebase.etl.registry import extractors
from pulsebase.etl.state import SqliteSyncState
from pulsebase.etl.sync import state_of
from pulsebase.model.errors import ReconnectError, RejectedError, SettingsError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.query.plan import SeriesQuestion
from pulsebase.sources import cloud as clients
from pulsebase.sources.simulators.faults import FAULTS as FAULTS_OF_CLOUDS
from pulsebase.sources.synthetic import DEMO_PEOPLE, SyntheticPerson, day_range
from tests.stores.harness import at
from tests.support import clouds
from tests.support.clock_changes import each_clock_change
from tests.support.clouds import (
    DATA_SETS,
    HEART_RATE_ALONE,
    NOW_US,
    RENEW,
    SOURCES,
    STATE_INSTANTS,
    TELL_DAYS,
    Components,
    Row,
    SimulatedCloud,
    consent,
    installed,
)
from tests.support.stores import named_store

ADA, BEN = DEMO_PEOPLE
#: Days of some two thousand readings do for most faults; one test has all of them.
EVERY_S = 5
simulated = partial(clouds.simulated, every_s=EVERY_S)
#: Midnight in Berlin, where Ada lives, of the first day that is brought.
START_US = at("2025-06-10T22:00:00")
each_source = pytest.mark.parametrize("source", SOURCES)
each_that_renews = pytest.mark.parametrize("source", RENEW)
each_that_states_instants = pytest.mark.parametrize("source", STATE_INSTANTS)
each_that_tells_days = pytest.mark.parametrize("source", TELL_DAYS)


def recorded(person: SyntheticPerson, interval: TimeRange, every_s: int = EVERY_S) -> list[Row]:
    return clouds.recorded(person, interval, every_s)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The memory store, or the one that the test names."""
    return named_store(getattr(request, "param", "memory"), tmp_path)


def in_stores(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("store", kinds, indirect=True)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of one request."""
    monkeypatch.setattr(clients, "_FIRST_PAUSE_S", 0.001)


@pytest.fixture
def every_s() -> int:
    return EVERY_S


@pytest.fixture
def cloud(source: str, every_s: int) -> Iterator[SimulatedCloud]:
    with simulated(source, every_s=every_s) as running:
        yield running


@pytest.fixture
def ada(cloud: SimulatedCloud, store: dict[str, Any]) -> Iterator[Components]:
    """An installation that Ada is connected to."""
    with installed(cloud, store) as there:
        there.connect("user1")
        yield there


def assert_complete(there: Components, start_us: int = START_US, *, room: bool = True, every_s: int = EVERY_S) -> None:
    """Move on until everything that syncs late is there, bring it, and compare; then, if the limit has room for it,
    once more, which changes nothing.
    """
    now_us = there.cloud.clock.now_us()
    there.cloud.clock.set(now_us + 21 * HOUR_US)
    there.bring_all("user1")
    brought = TimeRange(start_us, there.cloud.clock.now_us())
    assert there.stored("user1") == recorded(ADA, brought, every_s)
    nights = clouds.measured(there.cloud.source, ADA, brought)
    stored = there.stored_nights("user1")
    assert stored == {metric: nights[metric] for metric in stored}
    assert all(stored.values())
    if not room:
        return
    again = there.bring("user1")
    assert [(report.outcome, report.written) for report in again] == [("done", 0)] * len(there.data_sets)


def assert_summaries(there: Components) -> None:
    """The vendor's resting heart rate and minutes are those of its own days, if it tells of days."""
    if there.cloud.source not in TELL_DAYS:
        return
    days = there.parts.store.summaries("user1", date(2025, 6, 10), date(2025, 6, 12))
    assert [day.day.day for day in days] == [10, 11, 12]
    for day in days:
        said = there.cloud.world.day(ADA, day.day)
        assert (day.resting_heart_rate, day.resting_heart_rate_method) == (said.resting, there.cloud.source)
        assert [zone.minutes for zone in day.zones] == [spent.minutes for spent in said.zones]
        assert [zone.name for zone in day.zones] == ["Out of Range", "Fat Burn", "Cardio", "Peak"]


@pytest.mark.parametrize("every_s", [1])
@in_stores("memory", "duckdb")
@each_source
def test_everything_comes_once_and_is_found_unchanged(ada: Components) -> None:
    first = ada.bring("user1")
    assert [(report.data_set, report.outcome, report.error) for report in first] == [
        (data_set, "done", None) for data_set in DATA_SETS[ada.cloud.source]
    ]
    assert ada.stored("user1") == recorded(ADA, TimeRange(START_US, NOW_US), every_s=1)
    assert first[0].read == first[0].written == len(ada.stored("user1"))
    assert_summaries(ada)
    second = ada.bring("user1")
    assert [(report.written, report.unchanged) for report in second] == [(0, report.read) for report in second]
    assert 0 < second[0].read < first[0].read  # no more than the look-back
    assert_complete(ada, every_s=1)


FAULTS: dict[str, dict[str, float | int]] = {
    "server_error": {"share": 0.25},
    "dropped": {"share": 0.25},
    "garbled": {"following": 2},
    "forbidden": {"following": 3},
    "unauthorized": {"following": 1},
    "late_sync": {"share": 0.4, "until_us": NOW_US},
}


@each_source
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_delays_and_loses_nothing(ada: Components, fault: str) -> None:
    ada.cloud.fault(fault, **FAULTS[fault])  # type: ignore[arg-type]
    if fault == "late_sync":
        ada.bring("user1")
        assert len(ada.stored("user1")) < len(recorded(ADA, TimeRange(START_US, NOW_US)))
        ada.cloud.clock.advance(2 * HOUR_US)
    ada.bring_all("user1")
    if fault != "late_sync":
        ada.cloud.mend(fault)
    assert_complete(ada)


#: The faults that a person notices, and those that hit tokens: how often each hits.
IN_A_ROW = FAULTS | {
    "missing_resting": {"share": 1.0},
    "missing_minutes": {"share": 1.0},
    "missing_calories": {"share": 1.0},
    "token_error": {"following": 1},
    "refresh_refused": {"share": 1.0},
    "no_intraday": {"share": 1.0},
}


#: Requests in a window of each, few enough to be reached.
LIMITS = {"fitbit": 10, "google": 15, "oura": 10, "polar": 5, "withings": 15}


@in_stores("duckdb", "timescale")
@each_source
def test_every_fault_in_a_row_ends_with_exactly_what_the_cloud_has(
    source: str, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across a day of 25 hours, with a limit that is reached and a crash between storing and noting it."""
    first_day, now_us = date(2025, 10, 25), at("2025-10-26T12:00:00")
    with (
        simulated(source, now_us=now_us, limit=LIMITS[source], every_s=15) as cloud,
        installed(cloud, store, start_date=str(first_day)) as there,
    ):
        there.connect("user1")
        for name, how in IN_A_ROW.items():
            cloud.fault(name, **(how | ({"until_us": now_us} if name == "late_sync" else {})))  # type: ignore[arg-type]
            there.bring_or_connect("user1")
            cloud.clock.advance(9 * HOUR_US)  # past the access token's life
            there.bring_or_connect("user1")
            cloud.mend(name)
        monkeypatch.setattr(SqliteSyncState, "save_checkpoint", _killed)
        cloud.clock.advance(HOUR_US)
        assert there.bring("user1")[0].outcome == "failed"
        monkeypatch.undo()
        there.bring_or_connect("user1")
        start_us = day_range(ADA, first_day).start_us
        assert_complete(there, start_us, room=False, every_s=15)
        not_of_days = {"missing_resting", "missing_minutes", "missing_calories"}
        none_of_days = {"no_intraday", *not_of_days}
        not_of_it = {
            "fitbit": set(),
            "google": {"no_intraday"},
            "oura": none_of_days,
            "polar": none_of_days | {"token_error", "refresh_refused"},  # its tokens are never renewed
            "withings": none_of_days,
        }[source]
        assert cloud.world.faults.seen == IN_A_ROW.keys() - not_of_it == FAULTS_OF_CLOUDS.keys() - not_of_it
        assert any("limit" in (run.error or "") for run in there.last_runs(1_000))
        days = there.parts.store.summaries("user1", first_day, date(2025, 10, 29))
        assert [(day.day.day, day.resting_heart_rate, [zone.minutes for zone in day.zones]) for day in days] == [
            (day.day, said.resting, [spent.minutes for spent in said.zones])
            for day, said in ((each.day, cloud.world.day(ADA, each.day)) for each in days)
        ]
        assert len(days) == (5 if source in TELL_DAYS else 0)


def _killed(*_: object) -> None:
    raise RuntimeError("killed")


@each_source
def test_a_fault_has_its_time(ada: Components) -> None:
    ada.cloud.fault("server_error", 1.0, until_us=NOW_US + 10 * MINUTE_US)
    (failed,) = ada.bring("user1")
    assert (failed.outcome, failed.read) == ("postponed", 0)
    assert failed.error in ("the source answered 503", "the source answered 500")
    assert ada.bring_all("user1") > 1
    assert ada.cloud.clock.now_us() >= NOW_US + 10 * MINUTE_US
    assert_complete(ada)


@each_that_tells_days
def test_missing_fields_are_missing_and_no_more(ada: Components) -> None:
    for name in ("missing_resting", "missing_minutes"):
        ada.cloud.fault(name, 1.0)
    ada.bring_all("user1")
    assert ada.parts.store.summaries("user1", date.min, date.max) == []
    assert len(ada.stored("user1")) > 2_500
    ada.cloud.mend("missing_minutes")
    ada.cloud.fault("missing_calories", 1.0)
    ada.cloud.clock.advance(HOUR_US)
    ada.bring_all("user1")
    (day,) = ada.parts.store.summaries("user1", date(2025, 6, 11), date(2025, 6, 11))
    assert day.resting_heart_rate is None
    assert all(zone.minutes is not None and zone.calories is None for zone in day.zones)
    ada.cloud.mend("missing_resting")
    ada.bring_all("user1")
    (day,) = ada.parts.store.summaries("user1", date(2025, 6, 11), date(2025, 6, 11))
    assert day.resting_heart_rate is not None  # in place of the day before, not beside it


def test_the_hourly_limit_is_kept_and_waited_for(store: dict[str, Any]) -> None:
    choice = {"start_date": "2025-06-09", "data_sets": HEART_RATE_ALONE}
    with simulated("fitbit", limit=5) as cloud, installed(cloud, store, **choice) as there:
        there.connect("user1")
        (first,) = there.bring("user1")
        assert (first.outcome, first.error) == ("postponed", "the source's limit of requests is reached")
        connection = there.sync.state.connection("user1", "fitbit")
        assert connection is not None
        assert connection.due_us == at("2025-06-12T16:00:00")
        assert state_of(connection) == "waiting"
        assert "it is tried again at 2025-06-12T16:00:00Z" in (connection.problem or "")
        start_us = START_US - 2 * DAY_US
        assert there.stored("user1") == recorded(ADA, TimeRange(start_us, at("2025-06-12T00:00:00")))
        assert there.bring("user1")[0].read == 0  # asked too early, it does not even ask
        assert there.bring_all("user1") > 1
        assert_complete(there, start_us, room=False)
        assert cloud.world.clock.now_us() > NOW_US
        assert refusals(cloud) == 0  # the headers said so before the 429 did


def refusals(cloud: SimulatedCloud) -> int:
    return int(httpx.get(f"{cloud.url}/control/requests", trust_env=False).json().get("429", 0))


def test_a_429_says_when_to_come_back(store: dict[str, Any]) -> None:
    choice = {"data_sets": HEART_RATE_ALONE}
    with simulated("google", limit=5, every_s=1) as cloud, installed(cloud, store, **choice) as there:
        there.connect("user1")  # which takes two
        (report,) = there.bring("user1")
        assert report.outcome == "postponed"
        assert refusals(cloud) == 1
        assert there.bring_all("user1") > 1
        assert_complete(there, room=False, every_s=1)


def test_one_persons_limit_is_nobody_elses(store: dict[str, Any]) -> None:
    with simulated("fitbit", limit=4) as cloud, installed(cloud, store, data_sets=HEART_RATE_ALONE) as there:
        for person in (ADA, BEN):
            there.connect(person.user_id)
        assert there.bring("user1")[-1].outcome == "postponed"
        assert [report.outcome for report in there.bring("user2")] == ["done", "done"]
        start_us = at("2025-06-11T05:00:00")  # midnight in Chicago
        assert there.stored("user2") == recorded(BEN, TimeRange(start_us, NOW_US))


@each_that_renews
def test_access_tokens_are_renewed_as_they_expire(ada: Components) -> None:
    for _ in range(4):
        ada.bring_all("user1")
        ada.cloud.clock.advance(9 * HOUR_US)
    ada.cloud.fault("token_error", following=1)
    (report,) = ada.bring("user1")
    assert (report.outcome, report.error) == ("postponed", "the source answered 503 when asked for tokens")
    ada.bring_all("user1")
    assert_complete(ada)


@each_that_renews
def test_refused_tokens_wait_for_the_person_and_then_nothing_is_missing(ada: Components) -> None:
    ada.bring("user1")
    ada.cloud.clock.advance(9 * HOUR_US)
    ada.cloud.fault("refresh_refused", 1.0)
    (report,) = ada.bring("user1")
    assert (report.outcome, report.error) == (
        "failed",
        "the source does not accept the stored tokens any more; connect again",
    )
    connection = ada.sync.state.connection("user1", ada.cloud.source)
    assert connection is not None
    assert state_of(connection) == "needs-person"
    ada.cloud.mend("refresh_refused")
    ada.cloud.clock.advance(2 * DAY_US)
    ada.connect("user1")
    assert_complete(ada)


def test_a_week_ends_the_refresh_tokens_of_an_application_in_testing(store: dict[str, Any]) -> None:
    with simulated("google") as cloud, installed(cloud, store) as there:
        there.connect("user1")
        for _ in range(3):
            there.bring_all("user1")
            cloud.clock.advance(2 * DAY_US)
        cloud.clock.advance(DAY_US + MINUTE_US)
        (report,) = there.bring("user1")
        assert report.outcome == "failed"
        there.connect("user1")
        assert_complete(there)


def test_a_connection_without_second_level_readings_says_what_to_do(store: dict[str, Any]) -> None:
    with simulated("fitbit") as cloud, installed(cloud, store) as there:
        cloud.fault("no_intraday", 1.0)
        there.connect("user1")
        (report,) = there.bring("user1")
        assert "may see intraday data" in (report.error or "")
        connection = there.sync.state.connection("user1", "fitbit")
        assert connection is not None
        assert connection.needs_person
        cloud.mend("no_intraday")
        there.connect("user1")
        assert_complete(there)


@each_source
def test_refusals_in_a_row_are_asked_again_ever_later(ada: Components) -> None:
    ada.cloud.fault("forbidden", 1.0)
    waits = []
    for _ in range(7):
        ada.bring("user1")
        connection = ada.sync.state.connection("user1", ada.cloud.source)
        assert connection is not None
        assert connection.due_us is not None
        waits.append((connection.due_us - ada.cloud.clock.now_us()) // MINUTE_US)
        ada.cloud.clock.set(connection.due_us)
    assert waits == [1, 60, 120, 240, 480, 960, 1440]
    ada.cloud.mend("forbidden")
    ada.bring_all("user1")
    assert_complete(ada)


@each_source
def test_an_answer_that_cannot_be_read_stops_at_its_slice_and_heals(ada: Components) -> None:
    ada.cloud.fault("garbled", following=1)
    report = ada.bring("user1")[0]
    assert report.outcome == "failed"
    assert report.rejected == 1
    assert report.error is not None
    assert "cannot be read" in report.error
    assert "garbled" not in report.error
    assert ada.stored("user1")[0][0] > START_US + HOUR_US  # the slices behind it came all the same
    assert_complete(ada)


@each_source
def test_a_cloud_that_speaks_nonsense_is_not_asked_a_thousand_times(ada: Components) -> None:
    ada.cloud.fault("garbled", 1.0)
    reports = ada.bring("user1")
    slices = [extractors[report.data_set][ada.cloud.source].slice_days for report in reports]
    assert [report.rejected for report in reports] == [3 if days == 1 else 1 for days in slices]
    ada.cloud.mend("garbled")
    assert_complete(ada)


@pytest.mark.parametrize("crash_at", range(1, 5))
def test_a_crash_between_storing_and_noting_it_leaves_no_gap(
    store: dict[str, Any], crash_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated("fitbit") as cloud, installed(cloud, store, batch_size=1) as there:
        there.connect("user1")
        save, calls = SqliteSyncState.save_checkpoint, iter(range(1, 100))

        def crashing(self: SqliteSyncState, *arguments: object) -> None:
            if next(calls) == crash_at:
                raise RuntimeError("killed")
            save(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(SqliteSyncState, "save_checkpoint", crashing)
        assert there.bring("user1")[0].outcome == "failed"
        monkeypatch.undo()
        report = there.bring("user1")[0]
        assert report.unchanged > 0  # what was stored and not noted is read again
        assert_complete(there)


@each_clock_change
@each_source
def test_days_on_which_clocks_change_are_whole(
    source: str, zone: str, day: date, hours: int, store: dict[str, Any]
) -> None:
    person = replace(ADA, user_id="mover", time_zone=zone)
    span = day_range(person, day)
    around = {"start_date": str(day), "end_date": str(day)}
    with (
        simulated(source, [person], now_us=span.end_us + DAY_US) as cloud,
        installed(cloud, store, **around) as there,
    ):
        there.connect("mover")
        there.bring_all("mover")
        assert span.length_us == hours * HOUR_US
        assert there.stored("mover") == recorded(person, span)  # that day, and nothing of the days beside it
        question = SeriesQuestion(str(day), str(day), tz=zone, interval=Resolution.HOUR)
        (series,) = there.parts.services.series.one("mover", question).series
        starts = series.columns["timestamp"].cast(pa.int64()).to_pylist()
        assert set(starts) <= set(range(span.start_us, span.end_us, HOUR_US))
        assert len(starts) > hours - 5  # a band is off the wrist for a while
        if source in TELL_DAYS:
            (summary,) = there.parts.store.summaries("mover", day, day)
            assert summary.resting_heart_rate == cloud.world.day(person, day).resting


@each_that_renews
def test_no_token_shows_anywhere(
    source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets: set[str] = set()
    said: list[str] = []
    caplog.set_level(logging.DEBUG)
    with simulated(source) as cloud, installed(cloud, named_store("duckdb", tmp_path)) as there:

        def note() -> None:
            for token in vars(cloud.authorization)["_access"], vars(cloud.authorization)["_refresh"]:
                secrets.update(token)

        there.connect("user1")
        note()
        for fault in ("server_error", "dropped", "forbidden", "garbled", "unauthorized", "token_error"):
            cloud.clock.advance(9 * HOUR_US)  # past the access token's life
            cloud.fault(fault, following=1 if fault == "unauthorized" else 3)
            there.bring("user1")
            note()
            cloud.mend(fault)
            cloud.clock.advance(HOUR_US)
        there.bring_all("user1")
        note()
        cloud.fault("refresh_refused", 1.0)
        cloud.clock.advance(9 * HOUR_US)
        there.bring("user1")
        with pytest.raises(RejectedError) as refused:
            there.connections.finish(source, "state", "code", None)
        said += [str(refused.value), repr(there.connections.of("user1")), repr(there.last_runs(100))]
        said.append(httpx.get(f"{cloud.url}/control/requests", trust_env=False).text)
        files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        there.connections.disconnect("user1", source)
    output = capfd.readouterr()
    said += [caplog.text, output.out, output.err]
    assert len(secrets) > 4
    assert "ended early" in caplog.text  # it was listened to
    assert [token for token in secrets for text in said if token in text] == []
    assert [token for token in secrets for data in files if token.encode() in data] == []


@each_source
def test_who_says_no_is_not_connected(source: str, store: dict[str, Any]) -> None:
    with simulated(source) as cloud, installed(cloud, store) as there:
        begun = there.connections.begin("user1", source, "http://127.0.0.1:1/callback")
        came = consent(begun.url, "user1", "deny")
        assert came == {"error": "access_denied", "state": begun.state}
        with pytest.raises(RejectedError, match="said no"):
            there.connections.finish(source, came["state"], None, came["error"])
        assert there.bring("user1") == []


def test_a_new_person_has_the_zone_that_the_source_knows(store: dict[str, Any]) -> None:
    with simulated("google") as cloud, installed(cloud, store) as there:
        there.connect("somebody", person="user2")
        there.connect("user1", person="user2")
        people = [there.parts.store.user(user_id) for user_id in ("somebody", "user1")]
        assert [person and person.time_zone for person in people] == ["America/Chicago", "Europe/Berlin"]
        assert [each.account for each in there.connections.of("somebody")] == ["user2"]


@each_that_states_instants
def test_another_account_begins_from_the_start(ada: Components) -> None:
    ada.bring_all("user1")
    ada.connect("user1", person="user2")
    ada.bring_all("user1")
    theirs = set(recorded(BEN, TimeRange(START_US, NOW_US)))
    assert theirs <= set(ada.stored("user1"))


@each_source
def test_disconnecting_revokes_and_forgets(ada: Components) -> None:
    ada.bring_all("user1")
    token = ada.parts.services.connections.client_of(ada.cloud.source, "user1")
    assert ada.connections.disconnect("user1", ada.cloud.source)
    assert not ada.connections.disconnect("user1", ada.cloud.source)
    assert vars(ada.cloud.authorization)["_refresh"] == {}
    assert ada.bring("user1") == []
    with pytest.raises(ReconnectError):
        token.days(date(2025, 6, 9), date(2025, 6, 9)) if ada.cloud.source == "fitbit" else token.describe()
    ada.connect("user1")
    report = ada.bring("user1")[0]
    assert report.written == 0  # the same account goes on where it was
    assert report.read < 2_500


FITBIT_SCOPES = {
    "oxygen_saturation": "oxygen_saturation",
    "respiratory_rate": "respiratory_rate",
    "skin_temperature_delta": "temperature",
}


@pytest.mark.parametrize("data_set", FITBIT_SCOPES)
def test_what_a_person_did_not_allow_is_missing_and_the_rest_comes(store: dict[str, Any], data_set: str) -> None:
    scopes = {"heartrate", "profile", *FITBIT_SCOPES.values()} - {FITBIT_SCOPES[data_set]}
    with simulated("fitbit") as cloud, installed(cloud, store) as there:
        there.connect("user1", granted=" ".join(scopes))
        reports = {report.data_set: report for report in there.bring("user1")}
        assert list(reports) == list(DATA_SETS["fitbit"])
        missing = reports.pop(data_set)
        assert (missing.outcome, missing.rejected) == ("missing", 0)
        assert missing.error == "the person did not allow this to be read; connect again to allow it"
        assert all(report.outcome == "done" and report.written > 0 for report in reports.values())
        assert there.stored("user1", data_set) == []
        connection = there.sync.state.connection("user1", "fitbit")
        assert connection is not None
        assert state_of(connection) == "ok"
        there.connect("user1")
        assert_complete(there)


def test_time_in_zones_is_activity_and_may_be_missing_alone(store: dict[str, Any]) -> None:
    scopes = "health_metrics_and_measurements", "settings"
    granted = " ".join(f"https://www.googleapis.com/auth/googlehealth.{name}.readonly" for name in scopes)
    with simulated("google") as cloud, installed(cloud, store) as there:
        there.connect("user1", granted=granted)
        reports = there.bring("user1")
        assert [report.data_set for report in reports if report.outcome == "missing"] == ["heart_rate_summary"]
        assert all(report.outcome == "done" and report.written > 0 for report in reports if report.error is None)
        there.connect("user1")
        assert_complete(there)
        assert_summaries(there)


def test_nights_on_which_clocks_go_back_are_whole(store: dict[str, Any]) -> None:
    """Somebody sleeps through the hour that is shown twice: their local times tell which is which."""
    now_us = at("2025-10-26T14:00:00")
    choice = {"start_date": "2025-10-24", "data_sets": "oxygen_saturation,hrv_rmssd,respiratory_rate"}
    with simulated("fitbit", now_us=now_us) as cloud, installed(cloud, store, **choice) as there:
        there.connect("user1")
        there.bring_all("user1")
        brought = TimeRange(day_range(ADA, date(2025, 10, 24)).start_us, now_us)
        nights = clouds.measured("fitbit", ADA, brought)
        assert there.stored_nights("user1") == {metric: nights[metric] for metric in there.stored_nights("user1")}
        change_us = at("2025-10-26T01:00:00")  # three o'clock becomes two
        around = [at_us for at_us, _ in nights["oxygen_saturation"] if abs(at_us - change_us) < HOUR_US]
        assert len(around) > 110


def test_who_allows_nothing_is_asked_to_connect_again(store: dict[str, Any]) -> None:
    with simulated("fitbit") as cloud, installed(cloud, store) as there:
        there.connect("user1", granted="")
        assert {report.outcome for report in there.bring("user1")} == {"missing"}
        connection = there.sync.state.connection("user1", "fitbit")
        assert connection is not None
        assert state_of(connection) == "needs-person"
        assert (connection.problem or "").startswith("none of the data sets can be brought: the person did not allow")


def test_people_are_asked_for_what_is_brought_and_no_more(store: dict[str, Any]) -> None:
    asked = {
        "heart_rate": "heartrate profile",
        "skin_temperature_delta,hrv_rmssd": "heartrate temperature profile",
        None: "heartrate oxygen_saturation respiratory_rate temperature profile",
    }
    with simulated("fitbit") as cloud:
        for data_sets, scopes in asked.items():
            with installed(cloud, data_sets=data_sets) as there:
                begun = there.connections.begin("user1", "fitbit", "http://127.0.0.1:1/callback")
                assert httpx.URL(begun.url).params["scope"] == scopes
    with simulated("google") as cloud, installed(cloud, data_sets="heart_rate") as there:
        begun = there.connections.begin("user1", "google", "http://127.0.0.1:1/callback")
        names = [scope.rpartition("googlehealth.")[2] for scope in httpx.URL(begun.url).params["scope"].split()]
        assert names == ["health_metrics_and_measurements.readonly", "settings.readonly"]


def test_data_sets_are_chosen_and_unknown_ones_refused(store: dict[str, Any]) -> None:
    with simulated("fitbit") as cloud:
        with installed(cloud, store, data_sets="hrv_rmssd, oxygen_saturation") as there:
            there.connect("user1")
            assert [report.data_set for report in there.bring("user1")] == ["oxygen_saturation", "hrv_rmssd"]
            (entry,) = there.sync.connections()
            assert there.sync.last_us(entry) == max(there.stored("user1", "oxygen_saturation"))[0]
            assert there.stored("user1") == []
            (run,) = there.sync.run("user1", "fitbit", data_sets=["hrv_rmssd"])
            assert (run.data_set, run.outcome) == ("hrv_rmssd", "done")
        said = "PULSEBASE_DATA_SETS: pulse is no data set; there are heart_rate, "
        with pytest.raises(SettingsError, match=said), installed(cloud, data_sets="heart_rate,pulse"):
            pass
        with installed(cloud, data_sets="skin_temperature") as there, pytest.raises(RejectedError, match="names none"):
            there.connect("user1")


def test_a_part_brought_now_leaves_the_rest_due(store: dict[str, Any]) -> None:
    with simulated("fitbit") as cloud, installed(cloud, store) as there:
        there.connect("user1")
        there.sync.run("user1", "fitbit", data_sets=["hrv_rmssd"])
        connection = there.sync.state.connection("user1", "fitbit")
        assert connection is not None
        assert state_of(connection) == "new"


def test_local_times_of_a_person_without_a_zone_are_not_guessed(store: dict[str, Any]) -> None:
    with simulated("fitbit") as cloud, installed(cloud, store) as there:
        there.connect("somebody", person="user1", granted="heartrate oxygen_saturation")
        outcomes = {report.data_set: report.outcome for report in there.bring("somebody")}
        assert (outcomes["heart_rate"], outcomes["oxygen_saturation"], outcomes["hrv_rmssd"]) == (
            *("done", "missing", "missing"),
        )
        assert "time zone is not known" in (there.last_runs()[0].error or "")
        there.connect("somebody", person="user1")  # the profile has the zone
        there.bring_all("somebody")
        nights = clouds.measured("fitbit", ADA, TimeRange(START_US, NOW_US))
        assert set(nights["oxygen_saturation"]) <= set(there.stored("somebody", "oxygen_saturation"))


def test_values_out_of_bounds_are_refused_and_counted(store: dict[str, Any]) -> None:
    bounds = "oxygen_saturation=96.5:100, hrv_rmssd=60:300, skin_temperature_delta=0.1:10"
    with simulated("fitbit") as cloud, installed(cloud, store, metric_bounds=bounds) as there:
        there.connect("user1")
        reports = {report.data_set: report for report in there.bring("user1")}
        nights = clouds.measured("fitbit", ADA, TimeRange(START_US, NOW_US))
        for metric, low, said in (
            ("oxygen_saturation", 9_650, "value: out of range 96.5–100; send percent, 97 rather than 0.97"),
            ("hrv_rmssd", 6_000, "value: out of range 60–300"),
        ):
            good = [row for row in nights[metric] if row[1] >= low]
            assert 0 < len(good) < len(nights[metric])
            assert there.stored("user1", metric) == good
            report = reports[metric]
            assert (report.outcome, report.written, report.rejected) == (
                "done",
                len(good),
                len(nights[metric]) - len(good),
            )
            assert report.reasons == {said: report.rejected}
        delta = reports["skin_temperature_delta"]
        assert delta.read == delta.written + delta.rejected == len(nights["skin_temperature_delta"])
