"""Somebody with a key for aggregates tries to learn of one person."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.access.access_file import AccessFile
from pulsebase.access.scopes import NEEDS
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.model.errors import RejectedError
from pulsebase.settings import Settings
from pulsebase.wiring import build
from tests.support.in_process import InProcessClient
from tests.threats.conftest import Guarded, guarded, reading
from tests.threats.test_keys import path_of

DAYS = {"start": "2024-01-15", "end": "2024-01-15", "min_avg_heart_rate": "0"}
SPAN = {"start": "2024-01-15", "end": "2024-01-15"}
COHORT = "/v1/cohorts/heart-rate"
#: Their averages are 60 to 83 bpm; those from p12 on are men.
PEOPLE = [f"p{number:02}" for number in range(24)]


@pytest.fixture(scope="module")
def place() -> Iterator[Guarded]:
    with guarded() as made:
        for number, user_id in enumerate(PEOPLE):
            made.owner.put(f"/v1/users/{user_id}", json={"gender": "male" if number >= 12 else "female"})
        readings = [reading(user_id, heart_rate=60 + number) for number, user_id in enumerate(PEOPLE)]
        assert made.owner.post("/v1/metrics/heart-rate/batch", json={"readings": readings}).status_code == 202
        yield made


@pytest.fixture(scope="module")
def study(place: Guarded) -> InProcessClient:
    return place.client(place.key("study", ["aggregate"]))


def asked(client: httpx.Client, **parameters: Any) -> tuple[int | None, int | None, int | None]:
    answer = client.get(COHORT, params=DAYS | parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found) == {"fewer_than_ten", "people", "avg", "spread", "questions_left"}
    assert found["fewer_than_ten"] == (found["people"] is None)
    return found["people"], found["avg"], found["spread"]


def test_a_group_comes_to_a_count_a_mean_and_a_spread_and_no_id(study: InProcessClient) -> None:
    assert asked(study) == (20, 72, 7)  # 24 people, 71.5 bpm and 6.92 bpm
    assert asked(study, gender="male") == (10, 78, 3)  # 12 people, 77.5 bpm and 3.45 bpm
    text = study.get(COHORT, params=DAYS).text
    assert re.search(r"p\d\d", text) is None


@pytest.mark.parametrize(
    ("threshold", "people"),
    [
        ("68", None),  # 15 above, 9 left out
        ("69", 10),  # 14 above, 10 left out
        ("73", 10),  # 10 above
        ("74", None),  # 9 above
        ("200", None),  # nobody
    ],
)
def test_fewer_than_ten_are_not_told_of_on_either_side(
    study: InProcessClient, threshold: str, people: int | None
) -> None:
    assert asked(study, min_avg_heart_rate=threshold)[0] == people


@pytest.mark.parametrize(
    ("conditions", "people"),
    [
        ({"min_avg_heart_rate": "59", "max_avg": "80"}, None),  # three above
        ({"min_avg_heart_rate": "59", "max_avg": "73"}, 10),  # ten above
        ({"min_avg_heart_rate": "59", "gender": "male"}, 10),  # twelve are women, and nobody is not above 59
        ({"min_avg_heart_rate": "63", "gender": "male"}, None),  # of those above 63, eight are women
        ({"min_avg_heart_rate": "72", "gender": "male"}, None),  # one man is not above 72
        ({"max_avg": "72", "gender": "female"}, None),  # of those up to 72, one is a man
        ({"max_avg": "83", "gender": "female"}, 10),  # twelve are men
    ],
)
def test_fewer_than_ten_whom_one_condition_leaves_out_are_not_told_of(
    study: InProcessClient, conditions: dict[str, str], people: int | None
) -> None:
    parameters = SPAN | conditions
    answer = study.get(COHORT, params=parameters)
    assert (answer.status_code, answer.json()["people"]) == (200, people)


def test_two_answers_that_differ_by_one_person_are_mostly_the_same(study: InProcessClient) -> None:
    answers = {asked(study, min_avg_heart_rate=threshold)[0] for threshold in ("69", "70", "71", "72", "73")}
    assert answers == {10}, "14, 13, 12, 11 and 10 people"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"min_avg_heart_rate": "70.5"}, "min_avg_heart_rate"),
        ({"min_coverage": "0.001"}, "min_coverage"),
        ({"start": "2024-01-15T00:00:01Z"}, "start"),
        ({"end": "2024-01-15T23:00:00Z"}, "end"),
        ({"include": "averages"}, "include"),
        ({"cursor": "8000/1/p03"}, "cursor"),
        ({"limit": "1"}, "limit"),
    ],
)
def test_questions_that_are_fine_enough_to_cut_one_person_out_are_refused(
    study: InProcessClient, parameters: dict[str, str], field: str
) -> None:
    answer = study.get(COHORT, params=DAYS | parameters)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (400, [field])


@pytest.fixture(scope="module")
def breathing(place: Guarded) -> Guarded:
    """The same people with oxygen saturation of 76 to 99 %, RR intervals and deviations of skin temperature."""
    readings = [
        {name: each for name, each in reading(user_id).items() if name != "heart_rate"}
        | {"metric": metric, "value": at}
        for number, user_id in enumerate(PEOPLE)
        for metric, at in (
            ("spo2", 76 + number),
            ("rr_interval", 700 + number),
            ("skin_temperature_delta", number / 30),
        )
    ]
    answer = place.owner.post("/v1/readings/batch", json={"readings": readings})
    assert answer.json()["accepted"] == 3 * len(PEOPLE)
    return place


def test_groups_by_another_metric_are_told_of_as_those_by_heart_rate(
    breathing: Guarded, study: InProcessClient
) -> None:
    def of(metric: str, **parameters: str) -> tuple[Any, ...]:
        answer = study.get(f"/v1/cohorts/{metric}", params=SPAN | parameters)
        assert answer.status_code == 200, answer.text
        return tuple(answer.json()[name] for name in ("people", "avg", "spread"))

    assert of("oxygen-saturation") == (20, 88, 7)  # 87.5 % and 6.92 %
    assert of("oxygen-saturation", min_avg="85") == (10, 92, 4)  # 14 above, 92.5 % and 4.03 %; 10 left out
    assert of("oxygen-saturation", min_avg="84") == (None, None, None)  # 9 left out
    assert of("oxygen-saturation", max_avg="85") == (10, 80, 3)
    assert of("oxygen-saturation", max_avg="84") == (None, None, None)
    assert of("rr-interval") == (20, 720, 0)  # 711.5 ms and 6.92 ms, in steps of 20 ms
    assert of("skin-temperature-delta") == (20, 0.4, 0.2)  # 0.38 °C and 0.23 °C
    assert of("respiratory-rate") == (None, None, None)


@pytest.mark.parametrize(
    ("metric", "parameters", "said"),
    [
        ("spo2", {"min_avg": "84.5"}, ("min_avg", "must be a whole number for this key")),
        ("spo2", {"max_avg": "84.5"}, ("max_avg", "must be a whole number for this key")),
        ("rr_interval", {"min_avg": "710"}, ("min_avg", "must be a multiple of 20 for this key")),
        ("skin-temperature-delta", {"min_avg": "0.15"}, ("min_avg", "must be a multiple of 0.1 for this key")),
        ("spo2", {"min_coverage": "0.001"}, ("min_coverage", "may have two decimals for this key")),
        ("spo2", {"include": "averages"}, ("include", "takes the scope read")),
    ],
)
def test_fine_questions_about_other_metrics_are_refused(
    study: InProcessClient, metric: str, parameters: dict[str, str], said: tuple[str, str]
) -> None:
    answer = study.get(f"/v1/cohorts/{metric}", params=SPAN | parameters)
    assert answer.status_code == 400
    assert [(each["field"], each["reason"]) for each in answer.json()["errors"]] == [said]


def test_it_opens_nothing_else(place: Guarded, study: InProcessClient) -> None:
    for name, need in NEEDS.items():
        method, path = path_of(name)
        if need in ("open", "key") or name in ("GET /cohorts/heart-rate", "GET /cohorts/{metric}"):
            continue
        answer = study.request(method, path, content=b"{")
        assert answer.status_code == (404 if need == "owner" else 403), name


def test_whoever_may_read_is_told_of_people_and_has_no_budget(place: Guarded) -> None:
    client = place.client(place.key("reader", ["read"]))
    for _ in range(3):
        assert client.get(COHORT, params=DAYS).json()["count"] == 24
    with sqlite3.connect(place.parts.services.access.state.path) as file:
        named = "SELECT count(*) FROM questions JOIN keys ON number = key WHERE name = 'reader'"
        assert file.execute(named).fetchone() == (0,)


def test_a_day_has_so_many_questions_and_a_restart_gives_none_back(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"store_url": f"duckdb:///{tmp_path / 'a.duckdb'}", "aggregate_questions_per_day": 3}
    with guarded(**settings) as place:
        keys = [place.key(name, ["aggregate"]) for name in ("one", "two")]
        owner = place.key("admin", ["admin"])
        left = [place.client(keys[0]).get(COHORT, params=DAYS).json()["questions_left"] for _ in range(2)]
        assert left == [2, 1]
    with build(Settings(_env_file=None, access="on", **settings)) as parts:

        def client_with(key: str) -> InProcessClient:
            headers = {"authorization": f"Bearer {key}"}
            return InProcessClient(parts.app, headers=headers)

        client = client_with(keys[0])
        assert client.get(COHORT, params=DAYS).json()["questions_left"] == 0
        refused = client.get(COHORT, params=DAYS)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:pulsebase:problem:too-many-requests")
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert client_with(keys[1]).get(COHORT, params=DAYS).json()["questions_left"] == 2
        assert 'pulsebase_access_limited_total{by="questions"' in client_with(owner).get("/metrics").text


def test_questions_are_counted_by_day_and_by_processes_together(tmp_path: Path) -> None:
    states = [AccessFile(tmp_path / "access.sqlite") for _ in range(2)]
    assert [states[turn % 2].ask(7, 100, 3) for turn in range(4)] == [2, 1, 0, None]
    assert states[0].ask(7, 99, 3) is None, "a clock that goes back gives none back"
    assert states[1].ask(8, 100, 3) == 2
    assert [states[turn % 2].ask(7, 101, 3) for turn in range(4)] == [2, 1, 0, None]
    for state in states:
        state.close()


def test_a_file_of_before_has_room_for_questions(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    state = AccessFile(path)
    create_key(state, KeyRequest("kept", ["read"]))
    state.close()
    with sqlite3.connect(path) as file:
        file.executescript("DROP TABLE questions; PRAGMA user_version = 1")
    file.close()
    state = AccessFile(path)
    assert state.ask(1, 1, 5) == 4
    assert [key.name for _, key in state.all_keys()] == ["kept"]
    state.close()


@pytest.mark.parametrize("other", ["ingest", "read", "admin", "metrics"])
def test_no_key_can_fill_a_group_up_or_look_into_it(tmp_path: Path, other: str) -> None:
    state = AccessFile(tmp_path / "access.sqlite")
    with pytest.raises(RejectedError, match="scope: aggregate stands alone"):
        create_key(state, KeyRequest("x", ["aggregate", other]))
    with pytest.raises(RejectedError, match="user: groups have 10"):
        create_key(state, KeyRequest("x", ["aggregate"], PEOPLE[:9]))
    state.close()


def test_a_key_for_some_people_is_told_of_groups_among_them_alone(place: Guarded) -> None:
    client = place.client(place.key("ward", ["aggregate"], PEOPLE[:10]))
    assert asked(client) == (10, 64, 3)  # 64.5 bpm, to even, and 2.87 bpm
    assert asked(client, min_avg_heart_rate="60") == (None, None, None)
