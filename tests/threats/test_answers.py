"""Requests of many wrong things: the answer names some of them, and is no larger than that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.threats.conftest import guarded

SERIES = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-16"


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("GET", SERIES + "".join(f"&f{number}" for number in range(5_000)), None),
        ("POST", "/v1/users", {"user_id": "ann"} | {f"f{number}": 1 for number in range(40_000)}),
        ("PUT", "/v1/users/ann", {f"f{number}": 1 for number in range(40_000)}),
        ("PUT", "/v1/users/ann/devices/a/priority", {f"f{number}": 1 for number in range(40_000)}),
        ("POST", "/v1/sources/fitbit/authorize", {f"f{number}": 1 for number in range(4_000)}),
    ],
)
def test_a_hundred_of_many_unknown_fields_are_named(method: str, path: str, json: Any) -> None:
    with guarded() as place:
        answer = place.owner.request(method, path, json=json)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:pulsebase:problem:invalid-request")
    assert len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 20_000
    assert len(answer.json()["detail"]) < 10_000
