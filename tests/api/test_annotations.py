"""What people note about times, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from pulsebase.model.annotations import MOST_ANNOTATIONS, Annotation
from tests.api.conftest import Api
from tests.api.test_border import assert_problem

PLACE = "/v1/users/ann/annotations"
TEN = "2024-01-15T10:00:00Z"


@pytest.fixture
def ann(any_api: Api) -> Api:
    any_api.put("/v1/users/ann", json={})
    return any_api


def test_notes_are_kept_listed_replaced_and_removed(ann: Api) -> None:
    made = ann.post(PLACE, json={"start": "2024-01-15T11:00:00+01:00", "text": "fever"})
    assert made.status_code == 201
    fever = made.json()
    assert fever == {"annotation_id": fever["annotation_id"], "start": TEN, "end": None, "text": "fever"}
    stretch = {"start": "2024-01-15", "end": "2024-01-15T09:30:00Z", "text": "a walk\nin the rain"}
    put = ann.put(f"{PLACE}/walk", json=stretch)
    walk = {"annotation_id": "walk"} | stretch | {"start": "2024-01-15T00:00:00Z"}
    assert (put.status_code, put.json()) == (200, walk)
    assert ann.get(PLACE).json() == {"user_id": "ann", "data": [walk, fever]}
    for asked, expected in (
        ({"start": TEN}, [fever]),
        ({"end": TEN}, [walk]),
        ({"start": "2024-01-15T09:29:59Z", "end": TEN}, [walk]),
        ({"start": "2024-01-15T09:30:00Z", "end": TEN}, []),
    ):
        assert ann.get(PLACE, params=asked).json()["data"] == expected, asked
    later = {"start": "2024-01-15T12:00:00Z", "text": "no fever"}
    assert ann.put(f"{PLACE}/{fever['annotation_id']}", json=later).status_code == 200
    assert [each["text"] for each in ann.get(PLACE).json()["data"]] == ["a walk\nin the rain", "no fever"]
    assert [ann.delete(f"{PLACE}/walk").json() for _ in range(2)] == [{"removed": 1}, {"removed": 0}]
    assert [each["text"] for each in ann.get(PLACE).json()["data"]] == ["no fever"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x"}, "start"),
        ({"start": TEN}, "text"),
        ({"start": TEN, "text": 7}, "text"),
        ({"start": TEN, "text": " \n"}, "text"),
        ({"start": TEN, "text": "a\u0000b"}, "text"),
        ({"start": TEN, "text": "x" * 2_001}, "text"),
        ({"start": "soon", "text": "x"}, "start"),
        ({"start": "1969-12-31", "text": "x"}, "start"),
        ({"start": TEN, "end": TEN, "text": "x"}, "end"),
        ({"start": TEN, "end": "2300-01-01", "text": "x"}, "end"),
        ({"start": TEN, "end": 5, "text": "x"}, "end"),
        ({"start": TEN, "text": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_note_is_named_and_nothing_is_kept(ann: Api, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(ann.post(PLACE, json=body), 400, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert ann.get(PLACE).json()["data"] == []


def test_a_range_that_ends_before_it_starts_is_refused(ann: Api) -> None:
    problem = assert_problem(ann.get(PLACE, params={"start": TEN, "end": TEN}), 400, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == ["end"]


def test_of_nobody_nothing_is_noted(any_api: Api) -> None:
    for answer in (
        any_api.get(PLACE),
        any_api.post(PLACE, json={"start": TEN, "text": "x"}),
        any_api.put(f"{PLACE}/a", json={"start": TEN, "text": "x"}),
        any_api.delete(f"{PLACE}/a"),
    ):
        assert_problem(answer, 404, "not-found")


def test_there_is_a_most_of_them(ann: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.api.routes.annotations.MOST_ANNOTATIONS", 2)
    ann.parts.store.put_annotations([Annotation("ann", str(n), n, None, "x") for n in range(2)])
    assert MOST_ANNOTATIONS > 2
    assert_problem(ann.post(PLACE, json={"start": TEN, "text": "x"}), 400, "invalid-request")
    assert ann.put(f"{PLACE}/1", json={"start": TEN, "text": "y"}).status_code == 200, "one that is there is replaced"
