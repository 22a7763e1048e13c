"""`pulsebase fixtures`, with a server on the store and without one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import format_us
from pulsebase.sources.fixtures import DEVICES, FixtureSpec, fixture_readings, fixture_users, fixture_values
from tests.support.process import Place, reading, serving

SPEC = FixtureSpec(users=12, readings=6_000, seed=3)
OPTIONS = ("fixtures", "--users", "12", "--readings", "6000", "--seed", "3")


@pytest.fixture(params=["server down", "server up"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "place")
    with serving(place) if request.param == "server up" else contextlib.nullcontext():
        yield place


def rows(place: Place, statement: str) -> list[dict[str, object]]:
    done = place.run("sql", statement, "--format", "json")
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_people_and_readings_are_stored_as_the_source_makes_them_and_again_changes_nothing(place: Place) -> None:
    done = place.run(*OPTIONS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 people and 6,000 readings stored and merged" in done.stdout
    everybody = "SELECT user_id, name, gender, birth_date, time_zone FROM users ORDER BY user_no"
    first = rows(place, everybody)
    expected = fixture_users(SPEC)
    assert [(row["user_id"], row["name"], row["time_zone"]) for row in first] == [
        (user.user_id, user.name, user.time_zone) for user in expected
    ]
    assert [date.fromisoformat(str(row["birth_date"])) for row in first] == [user.birth_date for user in expected]
    sums = "SELECT count(*) AS n, sum(heart_rate)::BIGINT AS bpm, epoch_us(min(timestamp)) AS first_us"
    of_readings = sums.replace("heart_rate", "value") + " FROM activities_heart_intraday"
    stored = rows(place, of_readings)
    (made,) = fixture_readings(SPEC, SPEC.readings)
    assert stored == [{"n": 6_000, "bpm": int(made.bpm.sum()), "first_us": int(made.times_us.min())}]
    again = place.run(*OPTIONS)
    assert (again.returncode, again.stderr) == (0, "")
    assert (rows(place, everybody), rows(place, of_readings)) == (first, stored)
    assert "The store is sound." in place.run("check").stdout


def test_what_the_store_held_before_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(place) as server:
        assert server.post([reading("mine", second) for second in range(5)]).status_code == 202
        assert place.run(*OPTIONS).returncode == 0
        assert len(server.raw("mine")) == 5
        assert server.metric("pulsebase_store_unmerged_readings") == 0
        assert server.client.get("/v1/users", params={"limit": 1000}).json()["data"][-1]["user_id"] == "mine"


def test_the_first_day_can_be_chosen(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.run(*OPTIONS, "--start", "2020-02-28").returncode == 0
    (found,) = rows(place, "SELECT min(timestamp)::DATE AS first FROM activities_heart_intraday")
    assert found["first"] in ("2020-02-27", "2020-02-28")


def test_what_cannot_be_made_is_refused_by_the_options_name_and_makes_no_store(tmp_path: Path) -> None:
    place = Place(tmp_path)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    for options, name in (
        (("--start", "yesterday"), "--start: must be a date"),
        (("--start", "1989-12-31"), "--start: must be 1990-01-01 or later"),
        (("--start", str(yesterday)), "--readings: "),
        (("--users", "1", "--readings", "60000000"), "--readings: "),
        (("--users", "1", "--readings", str(10**12)), "--readings: "),
    ):
        assert place.refusal(*OPTIONS, *options).startswith(f"pulsebase: {name}")
    assert not place.database.exists()


def test_a_store_with_narrower_bounds_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, max_heart_rate="60")
    done = place.run(*OPTIONS)
    assert done.returncode == 1
    assert done.stderr == "pulsebase: the store's own bounds refuse a made-up reading: heart_rate out of range 30–60\n"


def test_metrics_are_stored_as_the_source_makes_them_and_again_changes_nothing(place: Place) -> None:
    names = ("heart_rate", "oxygen_saturation", "skin_temperature_delta")
    asked = [word for name in names for word in ("--metric", name)]
    spec = replace(SPEC, metrics=names)
    done = place.run(*OPTIONS, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 people and 6,000 readings stored and merged" in done.stdout
    assert place.run("export", "--format", "ndjson", "--out", "first.ndjson", *asked).returncode == 0
    lines = [json.loads(line) for line in (place.folder / "first.ndjson").read_text().splitlines()]
    stored = {(line["metric"], line["user_id"], line["device_id"], line["timestamp"]): line["value"] for line in lines}
    expected = {
        (metric, str(person), DEVICES[device], format_us(time_us)): value
        for metric, made in fixture_values(spec, spec.readings)
        for person, device, time_us, value in zip(
            made.people.tolist(), made.devices.tolist(), made.times_us.tolist(), made.values.tolist(), strict=True
        )
    }
    assert len(lines) == len(expected) == 6_000
    assert stored == expected
    assert place.run(*OPTIONS, *asked).returncode == 0
    assert place.run("export", "--format", "ndjson", "--out", "again.ndjson", *asked).returncode == 0
    assert (place.folder / "again.ndjson").read_bytes() == (place.folder / "first.ndjson").read_bytes()
    assert "The store is sound." in place.run("check").stdout


def test_an_unknown_metric_is_refused_with_those_there_are_and_makes_no_store(tmp_path: Path) -> None:
    place = Place(tmp_path)
    refusal = place.refusal(*OPTIONS, "--metric", "steps")
    assert refusal == f"pulsebase: --metric: steps is no metric; there are {', '.join(METRICS)}"
    assert not place.database.exists()


def test_a_store_with_narrower_bounds_names_the_metric(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.environment["PULSEBASE_METRIC_BOUNDS"] = "oxygen_saturation=98:100"
    done = place.run(*OPTIONS, "--metric", "spo2")
    refused = "the store's own bounds refuse a made-up reading: oxygen_saturation out of range 98–100"
    assert (done.returncode, done.stderr[: len(refused) + 11]) == (1, f"pulsebase: {refused}")
