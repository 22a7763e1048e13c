"""The log: two forms, the id of the request in each, and nothing that is somebody's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Place, Server, reading, serving

#: What must not be in any line: a person, a device, values, an instant, a token.
MARKS = ("secret", "123.45", "987.65", "10:11:12")
BAD_TIMES = {"timestamp": "2024-01-15T10:11:12Q"}


def misbehave(server: Server) -> list[str]:
    """Requests that are wrong in many ways; the ids they were answered under."""
    person = {"user_id": "Secret-Person", "device_id": "secret-device", "timestamp": "2024-01-15T10:11:12Z"}
    client = server.client
    client.headers["Authorization"] = "Bearer secret-token"
    one, batch, bulk = "/v1/metrics/heart-rate", "/v1/metrics/heart-rate/batch", "/v1/metrics/heart-rate/bulk"
    answers = [client.post(one, json=person | {"heart_rate": 123.45})]
    for changed in ({"heart_rate": 987.65}, {"user_id": "Secret Person"}, BAD_TIMES, {"secret": 1}):
        body = person | {"heart_rate": 123.45} | changed
        answers += [client.post(one, json=body), client.post(batch, json={"readings": [body]})]
        answers.append(client.post(bulk, content=json.dumps(body), headers={"Content-Type": "application/x-ndjson"}))
    answers.append(client.post(batch, content=b'{"readings":[{"user_id":"Secret-Person","heart_rate":123.45'))
    answers.append(client.post(bulk, content=b"PAR1 secret 123.45", headers={"Content-Type": "application/x-parquet"}))
    answers.append(client.post("/api/v2/write", content="heart_rate,user_id=Secret-Person value=987.65 10:11:12"))
    answers.append(
        client.post("/v1/imports?name=secret.csv", content=b"Id,Time,Value\nSecret Person,10:11:12,123.45\n")
    )
    answers.append(client.get("/v1/timeseries?user_id=Secret Nobody&start_date=2024-01-15&end_date=10:11:12"))
    answers.append(client.get("/v1/timeseries?user_id=Secret-Person&start_date=2024-01-15&end_date=2024-01-16"))
    answers.append(client.get("/v1/users/Secret-Person"))
    answers.append(client.get("/v1/users?query=Secret"))
    answers.append(client.get("/v1/sources/fitbit/callback?code=secret-code&state=secret-state"))
    answers.append(client.get("/v1/secret-route"))
    answers.append(client.request("PROPFIND", "/v1/users"))
    return [answer.headers["x-request-id"] for answer in answers]


def objects(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.errors.splitlines()]


def test_json_lines_carry_the_request_and_nothing_of_anybody(tmp_path: Path) -> None:
    with serving(Place(tmp_path / "pulse", log_format="json", log_level="debug", slow_query_ms="0.000001")) as server:
        ids = misbehave(server)
    lines, text = objects(server), server.errors.lower()
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["time"])
    requests = {line["request_id"]: line for line in lines if line["message"].startswith("request: ")}
    assert requests.keys() >= set(ids)
    stored, refused = requests[ids[0]], requests[ids[1]]
    assert (stored["method"], stored["route"], stored["status"]) == ("POST", "/metrics/heart-rate", 202)
    assert (refused["status"], refused["level"]) == (400, "debug")
    slow = [line for line in lines if line["message"].startswith("slow query: kind=series")]
    assert slow
    assert {line["request_id"] for line in slow} <= set(ids)
    assert {(line["kind"], line["rung"]) for line in slow} == {("series", "1h")}
    assert [mark for mark in MARKS if mark in text] == []


def test_console_lines_end_with_the_request(tmp_path: Path) -> None:
    with serving(Place(tmp_path / "pulse", log_level="debug")) as server:
        ids = misbehave(server)
    text = server.errors
    line = rf"^\d{{4}}-\d\d-\d\d \S+ DEBUG \S+middleware: request: method=POST .* status=202 .* request_id={ids[0]}$"
    assert re.search(line, text, re.MULTILINE)
    assert [mark for mark in MARKS if mark in text.lower()] == []


@pytest.mark.parametrize("sent", ["deploy-7.test_1", "x" * 64])
def test_a_sane_id_of_the_caller_is_kept(sent: str, tmp_path: Path) -> None:
    with serving(Place(tmp_path / "pulse", log_level="debug")) as server:
        answer = server.client.get("/v1/users?unknown=1", headers={"X-Request-ID": sent})
        assert answer.headers.get_list("X-Request-ID") == [answer.json()["request_id"]] == [sent]
        for mad in (b"x" * 65, b"two words", "sécret".encode(), b"", b"a\tb"):
            answer = server.client.get("/v1/users?unknown=1", headers=[(b"X-Request-ID", mad)])
            assert re.fullmatch("[0-9a-f]{16}", answer.json()["request_id"])
            assert answer.headers.get_list("X-Request-ID") == [answer.json()["request_id"]]
        assert server.post([reading("ann", 0)]).headers["X-Request-ID"]
    assert f"request_id={sent}\n" in server.errors
