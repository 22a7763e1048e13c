"""Somebody who names people by the thousand whom nobody knows: each takes a place for good, in every answer to come."""

from __future__ import annotations

import contextvars
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.access.caller import Caller, set_caller
from pulsebase.access.keys import OWNER
from pulsebase.api.components import RequestServices
from pulsebase.ingest.items import parse_items
from pulsebase.telemetry import REGISTRY
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, guarded, lines, reading

#: All callers may bring 40 people, a key a quarter of them, one request 6.
FEW: dict[str, Any] = {"new_people_per_day": 40, "caller_share": 0.25, "new_people_per_request": 6, "questions": 24}
OWN = 10
BULK = "/v1/metrics/heart-rate/bulk"


@pytest.fixture
def place() -> Iterator[Guarded]:
    with guarded(**FEW) as found:
        assert found.owner.post("/v1/metrics/heart-rate", json=reading("ann")).status_code == 202
        yield found


@pytest.fixture
def taker(place: Guarded) -> httpx.Client:
    return place.client(place.key("taker", ["ingest", "read"]))


@pytest.fixture
def other(place: Guarded) -> httpx.Client:
    return place.client(place.key("other", ["ingest", "read"]))


def people(place: Guarded) -> int:
    return len(place.owner.get("/v1/users?limit=100").json()["data"])


def refusals(reason: str) -> float:
    labels = {"resource": "new people", "reason": reason}
    return REGISTRY.get_sample_value("pulsebase_shares_refused_total", labels) or 0


def new(first: int, count: int) -> list[str]:
    return [f"new{number}" for number in range(first, first + count)]


def columns(user_ids: list[str]) -> pa.Table:
    rows = [reading(user_id) for user_id in user_ids]
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def as_csv(user_ids: list[str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(reading("a")))
    writer.writeheader()
    writer.writerows(map(reading, user_ids))
    return text.getvalue().encode()


def as_arrow(user_ids: list[str]) -> bytes:
    packed = io.BytesIO()
    table = columns(user_ids)
    with pa.ipc.new_stream(packed, table.schema) as stream:
        stream.write_table(table)
    return packed.getvalue()


def as_parquet(user_ids: list[str]) -> bytes:
    packed = io.BytesIO()
    pq.write_table(columns(user_ids), packed)
    return packed.getvalue()


def by_batch(client: httpx.Client, user_ids: list[str]) -> httpx.Response:
    return client.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(each) for each in user_ids]})


def by_lines(client: httpx.Client, user_ids: list[str]) -> httpx.Response:
    body = "".join(f"heart_rate,user_id={each},device_id=d bpm=60 1705312800\n" for each in user_ids)
    return client.post("/api/v2/write?precision=s", content=body)


def in_bulk(media_type: str, packed: Callable[[list[str]], bytes]) -> Callable[..., httpx.Response]:
    return lambda client, user_ids: client.post(BULK, content=packed(user_ids), headers={"content-type": media_type})


DOORS: dict[str, Callable[[httpx.Client, list[str]], httpx.Response]] = {
    "batch": by_batch,
    "lines": by_lines,
    "ndjson": in_bulk("application/x-ndjson", lambda user_ids: lines(*user_ids)),
    "csv": in_bulk("text/csv", as_csv),
    "arrow": in_bulk("application/vnd.apache.arrow.stream", as_arrow),
    "parquet": in_bulk("application/vnd.apache.parquet", as_parquet),
}
door = pytest.mark.parametrize("send", DOORS.values(), ids=DOORS)


def is_refused(answer: httpx.Response, status: int) -> bool:
    said = answer.json()
    (error,) = said["errors"]
    waits = int(answer.headers.get("retry-after", 0))
    assert (error["field"], "whom nobody knows yet" in error["reason"]) == ("user_id", True), said
    assert "new1" not in answer.text
    return answer.status_code == status and (waits > 0) == (status != 413)


@door
def test_a_body_that_names_a_crowd_is_refused_and_nothing_of_it_is_stored(
    place: Guarded, taker: httpx.Client, send: Callable[..., httpx.Response]
) -> None:
    before = refusals("request")
    assert is_refused(send(taker, [*new(0, 7), "ann"]), 413)
    assert refusals("request") == before + 1
    assert people(place) == 1
    assert place.owner.get("/v1/users/ann").json()["readings"] == 1
    assert send(taker, [*new(0, 6), "ann"]).is_success
    assert people(place) == 7


@door
def test_a_key_that_has_brought_its_share_waits_and_others_do_not(
    place: Guarded, taker: httpx.Client, other: httpx.Client, send: Callable[..., httpx.Response]
) -> None:
    before = refusals("own")
    for first in (0, 5):
        assert send(taker, new(first, 5)).is_success
    assert is_refused(send(taker, [*new(20, 1), "ann"]), 429)
    assert refusals("own") == before + 1
    assert send(taker, [*new(0, 10), "ann"]).is_success, "people who are known are free"
    assert send(other, new(20, 2)).is_success
    assert people(place) == 13


def test_single_readings_are_refused_one_by_one(place: Guarded, taker: httpx.Client, other: httpx.Client) -> None:
    def send(client: httpx.Client, user_id: str) -> httpx.Response:
        return client.post("/v1/metrics/heart-rate", json=reading(user_id))

    assert [send(taker, user_id).status_code for user_id in new(0, OWN)] == [202] * OWN
    assert is_refused(send(taker, "new20"), 429)
    assert send(taker, "new0").status_code == 202
    assert send(other, "new20").status_code == 202
    assert people(place) == OWN + 2


def test_all_keys_together_bring_no_more_than_there_is(place: Guarded, other: httpx.Client) -> None:
    for number in range(4):
        client = place.client(place.key(f"taker{number}", ["ingest"]))
        for first in (0, 5):
            by_batch(client, new(10 * number + first, 5))
    answer = by_batch(other, new(90, 5))
    assert is_refused(answer, 503), answer.json()
    assert "nothing" in answer.json()["detail"]
    assert by_batch(other, ["ann"]).status_code == 202
    assert by_batch(other, new(90, 4)).status_code == 202
    assert people(place) == 40, "with ann, whom the owner brought"


def test_an_import_brings_no_more_than_a_request_and_its_sender_may(place: Guarded, taker: httpx.Client) -> None:
    def course(user_ids: list[str]) -> dict[str, Any]:
        number = taker.post("/v1/imports?name=a", content=lines(*user_ids)).json()["id"]
        ended = lambda: taker.get(f"/v1/imports/{number}").json()["status"] in ("done", "failed")  # noqa: E731
        wait_until(ended, "it ends")
        found: dict[str, Any] = taker.get(f"/v1/imports/{number}").json()["course"]
        return found

    assert "user_id: brings more than 6 people" in str(course(new(0, 7))["failure"])
    assert people(place) == 1
    assert course(new(0, 6))["failure"] is None
    assert "user_id: brings 5 people" in str(course(new(10, 5))["failure"])
    assert course(new(0, 6))["failure"] is None
    assert people(place) == 7


def test_people_are_not_made_known_beyond_a_share(place: Guarded) -> None:
    maker = place.client(place.key("maker", ["admin"], people=new(0, 11)))
    made = [maker.post("/v1/users", json={"user_id": user_id}) for user_id in new(0, OWN)]
    assert {answer.status_code for answer in made} == {201}
    assert is_refused(maker.post("/v1/users", json={"user_id": "new10"}), 429)
    assert is_refused(maker.put("/v1/users/new10", json={"gender": "other"}), 429)
    assert maker.put("/v1/users/new9", json={"gender": "other"}).status_code == 200
    assert people(place) == OWN + 1


def test_people_are_not_connected_beyond_a_share(place: Guarded, taker: httpx.Client) -> None:
    for first in (0, 5):
        by_batch(taker, new(first, 5))

    def ask(user_id: str) -> httpx.Response:
        return taker.post("/v1/sources/fitbit/authorize", json={"user_id": user_id})

    assert is_refused(ask("new20"), 429)
    assert is_refused(taker.get("/v1/sources/fitbit/authorize?user_id=new20"), 429)
    assert ask("new0").status_code == 200


def test_a_key_that_may_change_everybody_has_all_there_is_and_the_owner_more(place: Guarded) -> None:
    admin = place.client(place.key("admin", ["admin"]))
    assert by_batch(admin, new(0, 39)).status_code == 202
    assert by_batch(admin, new(39, 1)).status_code == 503
    owner = contextvars.copy_context()
    owner.run(set_caller, Caller(OWNER))
    own = RequestServices(place.parts.services)
    crowd = parse_items([reading(user_id) for user_id in new(100, 60)])[0]
    outcome = owner.run(lambda: own.ingestor.offer(crowd, own.rules, own.push_origin, "http").result(30))
    assert outcome.accepted == 60
    assert people(place) == 100


def test_without_keys_an_address_has_a_share_and_this_machine_all() -> None:
    with guarded(access="off", **FEW) as place:
        far, farther = (place.client(address=address) for address in ("192.0.2.1", "192.0.2.2"))
        for first in (0, 5):
            assert by_batch(far, new(first, 5)).status_code == 202
        assert is_refused(by_batch(far, new(20, 1)), 429)
        assert by_batch(farther, new(20, 1)).status_code == 202
        assert by_batch(place.client(), new(30, 29)).status_code == 202


def test_what_is_refused_leaves_no_trace_in_the_embedded_store(tmp_path: Path) -> None:
    settings: dict[str, Any] = FEW | {"store_url": f"duckdb:///{tmp_path}/a.duckdb"}
    with guarded(**settings) as place:
        taker = place.client(place.key("taker", ["ingest"]))
        for send in DOORS.values():
            assert is_refused(send(taker, new(0, 7)), 413)
        assert place.parts.store.unknown_users(new(0, 7)) == set(new(0, 7))
        for first in (0, 5):
            assert by_batch(taker, new(first, 5)).status_code == 202
    with guarded(**settings, state_folder=tmp_path / "other") as place:
        assert people(place) == OWN
        again = place.client(place.key("again", ["ingest"]))
        assert by_batch(again, new(0, 10)).status_code == 202, "known from before the restart, so free"


def test_blocks_of_a_body_that_name_the_same_people_count_them_once(
    place: Guarded, taker: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsebase.ingest.lines.BLOCK_READINGS", 6)
    body = b"".join(lines(*new(0, 6), timestamp=f"2024-01-16T10:00:{second:02}Z") for second in range(20))
    answer = taker.post(BULK, content=body, headers={"content-type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 120)
    assert by_batch(taker, new(10, 4)).status_code == 202
    assert by_batch(taker, new(20, 1)).status_code == 429


def test_a_body_that_brings_too_many_in_the_middle_says_what_was_stored(
    place: Guarded, taker: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsebase.ingest.lines.BLOCK_READINGS", 4)
    answer = taker.post(BULK, content=lines(*new(0, 8)), headers={"content-type": "application/x-ndjson"})
    assert is_refused(answer, 413)
    assert "4 readings of the body were stored" in answer.json()["detail"]
    assert people(place) == 5
