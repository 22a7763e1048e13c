"""Webhooks over HTTP, to a real receiver: signed, durable, in order, retried, and nowhere they should not go."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pulsebase import telemetry
from pulsebase.etl.importer import ImportWatcher
from pulsebase.etl.results import FileResult
from pulsebase.events import courier, event_file
from pulsebase.events.kinds import Event, Stretch, stored
from pulsebase.events.sender import SendOutcome
from pulsebase.events.webhooks import Told
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import DAY_US, HOUR_US, SECOND_US, TimeRange
from pulsebase.settings import Settings
from pulsebase.stores.duckdb.journal.notes import JournalNotes
from pulsebase.wiring import build
from tests.api.conftest import Api, reading
from tests.api.heart_rate_questions import AsOwner
from tests.faults.test_scrub_kill import files_with
from tests.stores.harness import at
from tests.support.in_process import InProcessClient
from tests.support.process import wait_until
from tests.support.receiver import ALLOWED, Receiver, receiving
from tests.support.stores import named_store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def place(installed: Callable[..., Api]) -> Api:
    return installed(**ALLOWED)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "WAITS_S", (0.01,) * 3)
    monkeypatch.setattr(courier, "_LONGEST_PAUSE_S", 0.01)


def made(api: Api, receiver: Receiver, *events: str, **more: Any) -> dict[str, Any]:
    body = {"url": receiver.url, "events": events or ["readings.stored"]} | more
    answer = api.post("/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def deliveries(api: Api, webhook: dict[str, Any], **parameters: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/webhooks/{webhook['webhook_id']}/deliveries", params=parameters)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def wait_for_states(api: Api, webhook: dict[str, Any], *states: str) -> list[dict[str, Any]]:
    wait_until(lambda: [each["state"] for each in deliveries(api, webhook)] == list(states), f"{states}", 60)
    return deliveries(api, webhook)


def test_readings_are_told_signed_and_without_their_values(place: Api, receiver: Receiver) -> None:
    webhook = made(place, receiver, secret=SECRET)
    assert webhook["secret"] == SECRET
    place.store(reading(heart_rate=77), reading("2024-01-15T10:00:05Z", heart_rate=177))
    receiver.wait_for(1)
    (body,) = receiver.verified(SECRET)
    assert body["type"] == "readings.stored"
    assert body["data"] == {
        "user_id": "ann",
        "metric": "heart_rate",
        "start": "2024-01-15T10:00:00Z",
        "end": "2024-01-15T10:00:05.000001Z",
        "readings": 2,
    }
    assert b"177" not in receiver.came[0][2].split(b'"data"')[1].replace(b'"2024-01-15', b"")
    (delivery,) = wait_for_states(place, webhook, "delivered")
    assert (delivery["status"], delivery["attempts"], delivery["problem"]) == (200, 1, None)
    assert delivery["event_id"] == receiver.ids()[0]
    listed = place.get("/v1/webhooks").json()["data"]
    assert listed == [{name: value for name, value in webhook.items() if name != "secret"}]
    assert place.delete(f"/v1/webhooks/{webhook['webhook_id']}").status_code == 200
    assert place.get("/v1/webhooks").json() == {"data": []}


def test_whatever_way_readings_come_they_are_told_of(place: Api, receiver: Receiver) -> None:
    made(place, receiver)
    at_ten = "2024-01-15T10:00:00Z"
    of_auto_export = {"date": "2024-01-15 10:00:00 +0000", "Avg": 60, "Min": 60, "Max": 60}
    of_iphone = {"data": {"metrics": [{"name": "heart_rate", "units": "count/min", "data": [of_auto_export]}]}}
    value = {"user_id": "bulk", "device_id": "d", "metric": "heart_rate", "value": 60, "timestamp": at_ten}
    kind, line = {"content-type": "application/x-ndjson"}, json.dumps(value) + "\n"
    lines = "heart_rate,user_id={},device_id=d bpm=60 1705312800000000000"
    ways = {
        "single": place.post("/v1/metrics/heart-rate", json=reading(user_id="single")),
        "batch": place.post("/v1/metrics/heart-rate/batch", json={"readings": [reading(user_id="batch")]}),
        "bulk": place.post("/v1/readings/bulk", content=line, headers=kind),
        "influx": place.post("/write", content=lines.format("influx")),
        "influx2": place.post("/api/v2/write?bucket=any", content=lines.format("influx2")),
        "iphone": place.post("/v1/push/health-auto-export?user_id=iphone", json=of_iphone),
        "android": place.post(
            "/v1/push/health-connect?user_id=android", json={"heart_rate": [{"bpm": 60, "time": at_ten}]}
        ),
        "import": place.post("/v1/imports?name=x.ndjson", content=line.replace("bulk", "import")),
    }
    assert {way: answer.text for way, answer in ways.items() if answer.status_code not in (200, 202, 204)} == {}
    receiver.wait_for(len(ways))
    assert {body["data"]["user_id"]: body["data"]["start"] for body in receiver.bodies()} == dict.fromkeys(ways, at_ten)


def test_a_secret_is_made_unless_one_is_given(place: Api, receiver: Receiver) -> None:
    secret = made(place, receiver)["secret"]
    place.store(reading())
    receiver.wait_for(1)
    assert receiver.verified(secret)[0]["data"]["user_id"] == "ann"


def test_what_is_not_taken_comes_again_in_order_and_under_the_same_id(
    place: Api, receiver: Receiver, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "WAITS_S", (0.01,) * 10_000)  # nothing is given up, however slow this test is
    webhook = made(place, receiver)
    receiver.status = 503
    place.store(reading())
    receiver.wait_for(2)
    place.store(reading("2024-01-15T11:00:00Z"))
    receiver.status = 204
    wait_for_states(place, webhook, "delivered", "delivered")
    ids = receiver.ids()
    first = ids[0]
    assert len(set(ids)) == 2
    assert ids == [first] * ids.count(first) + [ids[-1]], "nothing overtakes"
    assert len({body for _, headers, body in receiver.came if headers["webhook-id"] == first}) == 1
    assert receiver.bodies()[-1]["data"]["start"] == "2024-01-15T11:00:00Z"


def test_what_is_never_taken_is_given_up_and_shown(place: Api, receiver: Receiver, quick: None) -> None:
    before = telemetry.WEBHOOK_DELIVERIES.labels("dead")._value.get()
    webhook = made(place, receiver)
    receiver.status = 500
    place.store(reading())
    (dead,) = wait_for_states(place, webhook, "dead")
    assert (dead["attempts"], dead["status"], dead["problem"]) == (4, 500, "it answered 500")
    assert dead["next_attempt_at"] is None
    assert deliveries(place, webhook, state="delivered") == []
    assert telemetry.WEBHOOK_DELIVERIES.labels("dead")._value.get() == before + 1
    receiver.status = 200
    place.store(reading("2024-01-15T12:00:00Z"))
    wait_for_states(place, webhook, "delivered", "dead")


def test_what_was_given_up_is_sent_again_when_somebody_says_so(receiver: Receiver, quick: None) -> None:
    ahead_us = [0]
    settings = Settings(_env_file=None, store_url="memory://", **ALLOWED)
    with build(settings, now_us=lambda: wall_clock_us() + ahead_us[0]) as parts:
        place = Api(parts)
        webhook = made(place, receiver, secret=SECRET)
        path = f"/v1/webhooks/{webhook['webhook_id']}/deliveries/retry"
        receiver.status = 500
        place.store(reading())
        (first,) = wait_for_states(place, webhook, "dead")
        place.store(reading(user_id="bob"))
        second, _ = wait_for_states(place, webhook, "dead", "dead")
        for wrong in ([0], [first["id"], second["id"] + 1]):
            answer = place.post(path, json={"ids": wrong})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "ids"), answer.text
        ahead_us[0] += 2 * DAY_US
        assert place.post(path, json={"ids": [first["id"]]}).json() == {"retried": 1}
        wait_until(lambda: deliveries(place, webhook)[1]["attempts"] == 8, "all attempts, a day later or not", 60)
        wait_for_states(place, webhook, "dead", "dead")
        receiver.status = 200
        assert place.post(path, json={}).json() == {"retried": 2}
        shown = wait_for_states(place, webhook, "delivered", "delivered")
        assert [each["event_id"] for each in shown] == [second["event_id"], first["event_id"]]
        assert {body["data"]["user_id"] for body in receiver.bodies()[-2:]} == {"ann", "bob"}
        assert place.post(path, json={}).json() == {"retried": 0}
        receiver.status = 410
        place.store(reading("2024-01-15T11:00:00Z"))
        wait_for_states(place, webhook, "dead", "delivered", "delivered")
        assert place.post(path, json={}).status_code == 409


def test_a_receiver_that_is_gone_ends_its_webhook(place: Api, receiver: Receiver, quick: None) -> None:
    webhook = made(place, receiver)
    receiver.status = 410
    place.store(reading())
    wait_for_states(place, webhook, "dead")
    shown = place.get(f"/v1/webhooks/{webhook['webhook_id']}").json()
    assert shown["ended"] == "its receiver wants nothing more (410)"


def test_a_webhook_that_ends_meanwhile_has_nothing_wait_any_more(place: Api, receiver: Receiver, quick: None) -> None:
    webhook = made(place, receiver)
    webhooks = place.parts.services.webhooks
    (as_it_was,) = webhooks.all()
    receiver.status = 410
    place.store(reading())
    (dead,) = wait_for_states(place, webhook, "dead")
    assert webhooks.retry(as_it_was, None, None) == 0
    assert webhooks.retry(as_it_was, [dead["id"]], None) == 0
    webhooks._file.note([Told(stored("ann", stretch()), [as_it_was.number])], wall_clock_us())
    assert [each["id"] for each in deliveries(place, webhook)] == [dead["id"]]
    webhooks._file._change("UPDATE deliveries SET state = 'waiting', due_us = 0")  # as an older version left it
    webhooks._courier.close()
    webhooks._courier._send(webhooks.all())
    assert webhooks._courier._sending == {}


@pytest.mark.parametrize("where", ["in the sender", "of the future"])
def test_a_fault_of_a_delivery_is_a_failure_of_it_alone(
    where: str, place: Api, receiver: Receiver, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as other:
        bad, good = made(place, other), made(place, receiver)
        sending = place.parts.services.webhooks._courier._sender
        real, answered = sending.send, sending._answered

        def send(url: str, headers: dict[str, str], body: bytes) -> Future[SendOutcome]:
            if where == "of the future" and url == other.url:
                failed = Future[SendOutcome]()
                failed.set_exception(UnicodeError("label too long"))
                return failed
            return real(url, headers, body)

        async def answer(url: str, headers: dict[str, str], body: bytes) -> SendOutcome:
            if url == other.url:
                raise UnicodeError("label too long")
            return await answered(url, headers, body)

        monkeypatch.setattr(sending, "send", send)
        monkeypatch.setattr(sending, "_answered", answer)
        place.store(reading())
        wait_for_states(place, good, "delivered")
        (dead,) = wait_for_states(place, bad, "dead")
        assert (dead["attempts"], dead["problem"]) == (4, "it could not be sent")


def test_what_cannot_be_noted_is_counted_once(
    place: Api, receiver: Receiver, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "_TROUBLE_S", 0.01)
    counter = telemetry.WEBHOOK_DELIVERIES.labels("delivered")
    before = counter._value.get()
    refused: list[Any] = []
    real = event_file.EventFile.delivered

    def delivered(self: event_file.EventFile, *values: Any) -> None:
        if len(refused) < 3:
            refused.append(values)
            raise StoreUnavailableError("the disk is full", retry_after_s=1)
        real(self, *values)

    monkeypatch.setattr(event_file.EventFile, "delivered", delivered)
    webhook = made(place, receiver)
    place.store(reading())
    wait_for_states(place, webhook, "delivered")
    wait_until(lambda: counter._value.get() > before, "it is counted", 60)
    assert (len(refused), counter._value.get()) == (3, before + 1)


def test_the_end_of_an_import_is_told_with_counts_that_can_be_and_once_it_ended(place: Api, receiver: Receiver) -> None:
    webhook = made(place, receiver, "import.finished")
    services = place.parts.services
    number = services.ingestor.register_origin("import", "by hand")
    path = f"/v1/admin/imports/{number}/finished"
    counts = dict.fromkeys(("files", "read", "written", "unchanged", "rejected", "people"), 1)

    owner = InProcessClient(AsOwner(place.parts.app))
    answer = owner.post(path, json={"status": "done"} | counts | {"read": 10**30})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "read"), answer.text
    with services.imports._running.held("by hand"):
        assert owner.post(path, json={"status": "done"} | counts).status_code == 409
    assert owner.post(path, json={"status": "done"} | counts | {"read": 2**53}).status_code == 204
    wait_for_states(place, webhook, "delivered")


def test_a_receiver_that_is_silent_is_left_and_holds_up_nobody(
    installed: Callable[..., Api], receiver: Receiver
) -> None:
    with receiving() as other:
        api = installed(**ALLOWED, webhook_timeout_s=0.2)
        silent, quick = made(api, receiver), made(api, other)
        receiver.silent.clear()
        api.store(reading())
        wait_for_states(api, quick, "delivered")
        wait_until(lambda: deliveries(api, silent)[0]["attempts"] >= 1, "an attempt", 60)
        assert deliveries(api, silent)[0]["problem"] == "there was no answer in time"


def test_however_much_waits_for_one_receiver_another_is_told(place: Api, receiver: Receiver) -> None:
    with receiving() as other:
        down, up = made(place, receiver), made(place, other)
        receiver.status = 503
        webhooks = place.parts.services.webhooks
        number, *_ = (each.number for each in webhooks.all() if each.webhook_id == down["webhook_id"])
        waiting = [Told(stored(f"p{n}", stretch()), [number]) for n in range(1_500)]
        webhooks._file.note(waiting, wall_clock_us() - SECOND_US)
        receiver.wait_for(1)
        webhooks.announce(stored("ann", stretch()))
        wait_for_states(place, up, "delivered")


def test_no_redirection_is_followed(place: Api, receiver: Receiver, quick: None) -> None:
    with receiving() as elsewhere:
        webhook = made(place, receiver)
        receiver.status, receiver.answers = 307, {"location": elsewhere.url}
        place.store(reading())
        (dead,) = wait_for_states(place, webhook, "dead")
        assert dead["problem"] == "it answered 307"
        assert elsewhere.came == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/in",
        "https://localhost/in",
        "https://[::1]/in",
        "https://10.0.0.1/in",
        "https://192.168.1.1/in",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/in",
        "https://[::ffff:127.0.0.1]/in",
        "https://[64:ff9b::7f00:1]/in",
        "https://[2002:7f00:1::]/in",
        "https://0.0.0.0/in",
        "https://0x7f.1/in",
        "https://224.0.0.1/in",
        "http://93.184.215.14/in",
        "ftp://93.184.215.14/in",
        "https://user:password@93.184.215.14/in",
        "https://93.184.215.14/in#fragment",
        "https://93.184.215.14:99999/",
        "https://no-such-host.invalid/in",
        "https://a..b/in",
        f"https://{'a' * 64}.example/in",
        "not a url",
    ],
)
def test_no_webhook_is_made_that_leads_inside_or_goes_unencrypted(api: Api, url: str) -> None:
    answer = api.post("/v1/webhooks", json={"url": url, "events": ["readings.stored"]})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == "url"


def test_a_name_that_leads_inside_later_is_not_called(
    installed: Callable[..., Api], receiver: Receiver, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """Whatever the name server says when the webhook is made: the address is looked up, and checked, each time."""
    api, address = installed(), "93.184.215.14"
    real = socket.getaddrinfo

    def answered(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host == "rebound.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    body = {"url": f"https://rebound.example:{receiver.port}/in", "events": ["readings.stored"]}
    webhook = api.post("/v1/webhooks", json=body).json()
    address = "127.0.0.1"
    api.store(reading())
    (dead,) = wait_for_states(api, webhook, "dead")
    assert dead["problem"] == "its address is not one that may be called"
    assert receiver.came == []


def test_wrong_fields_are_named(place: Api, receiver: Receiver) -> None:
    good = {"url": receiver.url, "events": ["readings.stored"]}
    for wrong, field in (
        ({"events": []}, "events"),
        ({"events": ["nothing"]}, "events"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"user_ids": []}, "user_ids"),
        ({"more": 1}, "more"),
    ):
        answer = place.post("/v1/webhooks", json=good | wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.text
    assert place.post("/v1/webhooks", json=good | {"user_ids": ["nobody"]}).status_code == 404
    assert place.get("/v1/webhooks/none").status_code == 404
    assert place.get("/v1/webhooks").json() == {"data": []}


def test_a_kill_after_the_acknowledgement_loses_no_event(
    installed: Callable[..., Api], receiver: Receiver, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    api = installed(store_url=f"duckdb:///{folder / 'pulse.duckdb'}", **ALLOWED)
    receiver.status = 503
    webhook = made(api, receiver, secret=SECRET)
    stopped = api.parts.services.webhooks._courier
    stopped.close()  # so that nothing but the journal knows of what comes
    api.store(reading(), reading("2024-01-15T10:00:09Z", user_id="bob"))
    copy = tmp_path / "as a kill leaves it"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock", "*.sock"))
    receiver.status = 200
    again = installed(store_url=f"duckdb:///{copy / 'pulse.duckdb'}", **ALLOWED)
    wait_for_states(again, webhook, "delivered", "delivered")
    told = {body["data"]["user_id"]: body["data"]["readings"] for body in receiver.verified(SECRET)}
    assert told == {"ann": 1, "bob": 1}


@pytest.mark.parametrize("between", ["taken over and dropped", "dropped and forgotten"])
def test_a_kill_while_notes_are_taken_over_hides_none_of_those_that_follow(
    between: str, installed: Callable[..., Api], receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, copy = tmp_path / "store", tmp_path / "as a kill leaves it"
    api = installed(store_url=f"duckdb:///{folder / 'pulse.duckdb'}", **ALLOWED)
    webhook = made(api, receiver, secret=SECRET)
    telling = api.parts.services.webhooks._courier
    notes = telling._around.notes
    assert notes is not None
    reached, gone_on = threading.Event(), threading.Event()
    real = type(notes).drop

    def drop(self: JournalNotes, numbers: Collection[int]) -> None:
        if self is notes and between == "dropped and forgotten":
            real(self, numbers)
        if self is notes:
            reached.set()
            assert gone_on.wait(60)
        if self is not notes or between == "taken over and dropped":
            real(self, numbers)

    monkeypatch.setattr(JournalNotes, "drop", drop)
    api.store(reading(), reading(user_id="bob"))
    assert reached.wait(60)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock", "*.sock"))
    gone_on.set()
    again = installed(store_url=f"duckdb:///{copy / 'pulse.duckdb'}", **ALLOWED)
    file = again.parts.services.webhooks._file
    wait_for_states(again, webhook, "delivered", "delivered")
    wait_until(lambda: file.moved() == set(), "what was dropped is forgotten", 60)
    again.delete(f"/v1/webhooks/{webhook['webhook_id']}")
    wait_until(lambda: again.parts.services.webhooks._courier._wanted is False, "no notes are wanted", 60)
    webhook = made(again, receiver, secret=SECRET)
    again.store(reading("2024-01-15T11:00:00Z"), reading("2024-01-15T11:00:00Z", user_id="bob"))
    wait_for_states(again, webhook, "delivered", "delivered")


def test_what_may_have_been_sent_before_a_stop_stays_as_it_is(tmp_path: Path, receiver: Receiver) -> None:
    """A receiver goes by the id: readings that joined what it has would never be told."""
    settings = Settings(_env_file=None, store_url=f"duckdb:///{tmp_path / 'pulse.duckdb'}", **ALLOWED)
    receiver.silent.clear()
    with build(settings) as parts:
        made(Api(parts), receiver, secret=SECRET)
        Api(parts).store(reading())
        receiver.wait_for(1)
        parts.services.webhooks._courier.close()  # nothing is known of what the receiver has, as after a kill
        Api(parts).store(reading("2024-01-15T11:00:00Z"))
    receiver.silent.set()
    with build(settings):
        receiver.wait_for(3)
    first, again, other = receiver.verified(SECRET)
    assert first == again
    assert other["data"]["start"] == "2024-01-15T11:00:00Z"
    assert receiver.ids()[0] == receiver.ids()[1] != receiver.ids()[2]


def test_events_outlive_restarts_and_clocks_that_were_wrong(tmp_path: Path, receiver: Receiver) -> None:
    settings = Settings(_env_file=None, store_url=f"duckdb:///{tmp_path / 'pulse.duckdb'}", **ALLOWED)
    ahead_us = at("2031-01-01T00:00:00")
    receiver.status = 503
    with build(settings, now_us=lambda: ahead_us) as parts:
        webhook = made(Api(parts), receiver)
        Api(parts).parts.store.settle()
        parts.services.webhooks.announce(stored("ann", stretch()))
        wait_until(lambda: deliveries(Api(parts), webhook)[0]["attempts"] == 1, "an attempt", 60)
    receiver.status = 200
    with build(settings, now_us=lambda: ahead_us - 3650 * DAY_US) as parts:
        wait_for_states(Api(parts), webhook, "delivered")


def stretch() -> Any:
    ten = at("2024-01-15T10:00:00")
    return Stretch("heart_rate", TimeRange(ten, ten + 1), 1)


def test_who_is_erased_goes_with_what_was_to_be_told_of_them(
    installed: Callable[..., Api], receiver: Receiver, tmp_path: Path
) -> None:
    who = "person-to-be-forgotten"
    api = installed(store_url=f"duckdb:///{tmp_path / 'pulse.duckdb'}", **ALLOWED)
    api.store(reading(user_id=who), reading(user_id="bob"))
    receiver.status = 503
    everybody = made(api, receiver)
    theirs, both = made(api, receiver, user_ids=[who]), made(api, receiver, user_ids=[who, "bob"])
    named = api.post("/v1/webhooks", json={"url": f"{receiver.url}/{who}", "events": ["day.closed"]}).json()
    api.store(reading("2024-01-15T11:00:00Z", user_id=who), reading("2024-01-15T11:00:00Z", user_id="bob"))
    wait_until(lambda: len(deliveries(api, everybody)) == 2, "events", 60)
    receipt = api.delete(f"/v1/users/{who}").json()
    wait_until(
        lambda: api.get(f"/v1/erasures/{receipt['erasure_id']}").json()["stage"] == "scrubbed", "it is scrubbed", 60
    )
    assert {each["user_id"] for each in deliveries(api, everybody)} == {"bob"}
    assert deliveries(api, theirs) == []
    people = {each["webhook_id"]: each["user_ids"] for each in api.get("/v1/webhooks").json()["data"]}
    assert people == {everybody["webhook_id"]: None, theirs["webhook_id"]: [], both["webhook_id"]: ["bob"]}
    assert named["webhook_id"] not in people
    assert files_with(tmp_path, who) == []


def test_a_day_is_told_of_once_it_is_over_where_its_person_lives(tmp_path: Path, receiver: Receiver) -> None:
    now_us = [at("2024-01-15T22:00:00")]
    settings = Settings(_env_file=None, store_url="memory://", **ALLOWED)
    with build(settings, now_us=lambda: now_us[0]) as parts:
        api = Api(parts)
        api.put("/v1/users/ann", json={"time_zone": "Europe/Berlin"})
        webhook = made(api, receiver, "day.closed")
        api.store(reading("2024-01-15T10:00:00Z"), reading("2024-01-15T10:01:00Z"), reading("2024-01-10T10:00:00Z"))
        wait_until(lambda: len(parts.services.webhooks._file._rows("SELECT * FROM days")) >= 2, "days", 60)
        now_us[0] = at("2024-01-16T00:30:00")  # over an hour after midnight in Berlin
        wait_for_states(api, webhook, "delivered")
        assert receiver.bodies()[0]["data"] == {
            "user_id": "ann",
            "day": "2024-01-15",
            "time_zone": "Europe/Berlin",
            "metrics": {"heart_rate": {"readings": 2, "minutes": 2}},
        }
        api.store(reading("2024-01-15T12:00:00Z"))
        now_us[0] += 12 * HOUR_US
        api.store(reading("2024-01-16T00:45:00Z"))
        opened = "SELECT * FROM days WHERE day = '2024-01-16'"
        wait_until(lambda: parts.services.webhooks._file._rows(opened) != [], "the next day", 60)
        now_us[0] = at("2024-01-17T00:30:00")
        wait_for_states(api, webhook, "delivered", "delivered")
        assert receiver.bodies()[1]["data"]["day"] == "2024-01-16", "no day is closed twice"


@pytest.mark.parametrize("store", ["duckdb", "timescale", "clickhouse"])
def test_what_a_store_notes_while_nobody_tells_it_is_told_after_a_restart(
    store: str, tmp_path: Path, receiver: Receiver
) -> None:
    now_us = [at("2024-01-15T22:00:00")]
    settings = Settings(_env_file=None, **named_store(store, tmp_path), **ALLOWED)
    with build(settings, now_us=lambda: now_us[0]) as parts:
        api = Api(parts)
        api.put("/v1/users/ann", json={"time_zone": "Europe/Berlin"})
        api.store(reading("2024-01-15T08:00:00Z"))  # nobody wants to know
        webhook = made(api, receiver, "readings.stored", "day.closed", secret=SECRET)
        parts.services.webhooks._courier.close()
        api.store(reading(), reading("2024-01-15T10:00:05Z"), reading(user_id="bob"))
        span = {"user_id": "ann", "start": "2024-01-15T10:00:05Z", "end": "2024-01-15T11:00:00Z"}
        assert api.delete("/v1/metrics/heart-rate", params=span).status_code == 200
    with build(settings, now_us=lambda: now_us[0]) as parts:
        wait_for_states(Api(parts), webhook, "delivered", "delivered")
        assert {each["data"]["user_id"]: each["data"]["readings"] for each in receiver.bodies()} == {"ann": 2, "bob": 1}
        now_us[0] = at("2024-01-16T01:30:00")
        wait_for_states(Api(parts), webhook, *["delivered"] * 4)
    days = {each["data"]["user_id"]: each["data"]["metrics"]["heart_rate"] for each in receiver.bodies()[2:]}
    assert days == {"ann": {"readings": 2, "minutes": 2}, "bob": {"readings": 1, "minutes": 1}}


def test_imports_that_end_are_told_of(place: Api, receiver: Receiver) -> None:
    webhook = made(place, receiver, "import.finished")
    made(place, receiver, "import.finished", user_ids=None)
    lines = '{"user_id":"ann","device_id":"d","timestamp":"2024-01-15T10:00:00Z","heart_rate":70}\n'
    number = place.post("/v1/imports?name=secret.ndjson", content=lines).json()["id"]
    wait_for_states(place, webhook, "delivered")
    data = receiver.bodies()[0]["data"]
    assert (data["import_id"], data["status"], data["written"], data["people"]) == (number, "done", 1, 1)
    assert place.get(f"/v1/imports/{number}").json()["status"] == "done"
    assert b"secret" not in receiver.came[0][2]


def test_an_import_that_a_stop_keeps_from_its_turn_is_told_of_too(tmp_path: Path, receiver: Receiver) -> None:
    url = f"duckdb:///{tmp_path / 'pulse.duckdb'}"
    settings = Settings(_env_file=None, store_url=url, decoder_processes=2, **ALLOWED)  # so that one runs at a time

    def never_done(file: object, sink: object, watcher: ImportWatcher) -> Iterator[FileResult]:
        wait_until(watcher.stopped, "a stop", 60)
        yield from ()

    with build(settings) as parts:
        api = Api(parts)
        made(api, receiver, "import.finished")
        parts.services.imports._importing = never_done
        numbers = {api.post(f"/v1/imports?name={n}.ndjson", content="{}").json()["id"] for n in range(2)}
    with build(settings):
        receiver.wait_for(2)
    told = {body["data"]["import_id"]: body["data"]["status"] for body in receiver.bodies()}
    assert told == dict.fromkeys(numbers, "failed")


def test_more_than_may_wait_are_given_up_at_once(
    installed: Callable[..., Api], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file, "KEPT_DEAD", 3)
    api = installed(**ALLOWED, webhook_queue=2)
    receiver.status = 503
    webhook = made(api, receiver)
    api.store(*(reading(user_id=f"p{n}") for n in range(8)))
    wait_until(lambda: len(deliveries(api, webhook)) == 8, "events", 60)
    states = [each["state"] for each in deliveries(api, webhook)]
    assert (states.count("waiting"), states.count("dead")) == (2, 6)
    assert {each["problem"] for each in deliveries(api, webhook, state="dead")} == {event_file._FULL}
    api.parts.services.webhooks._file.prune(0)
    assert len(deliveries(api, webhook, state="dead")) == 3
    assert len(deliveries(api, webhook, state="waiting")) == 2


def test_one_process_at_a_time_tells_and_another_takes_over(tmp_path: Path, receiver: Receiver) -> None:
    """Two of them beside one folder, as workers are."""
    settings = Settings(_env_file=None, store_url="memory://", state_folder=tmp_path / "state", **ALLOWED)
    with ExitStack() as first, ExitStack() as second:
        one, other = (closing.enter_context(build(settings)) for closing in (first, second))
        webhook = made(Api(one), receiver, "import.finished")
        for n in range(3):
            other.services.webhooks.announce(Event("import.finished", None, {"import_id": n}))
        wait_for_states(Api(other), webhook, "delivered", "delivered", "delivered")
        assert [body["data"]["import_id"] for body in receiver.bodies()] == [0, 1, 2], "each once, in order"
        first.close()
        other.services.webhooks.announce(Event("import.finished", None, {"import_id": 3}))
        wait_until(lambda: len(receiver.came) == 4, "the other one tells", 60)


@pytest.fixture(autouse=True)
def no_thread_of_a_former_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_LEASE_LOOK_S", 0.05)
    monkeypatch.setattr(courier, "_LOOK_S", 0.02)


def test_a_courier_ends_when_it_is_told_to_and_not_at_its_next_look(
    installed: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    for look in ("_LEASE_LOOK_S", "_LOOK_S"):
        monkeypatch.setattr(courier, look, 3600)
    ending = installed().parts.services.webhooks._courier
    wait_until(lambda: ending._wanted is not None, "a first look at what there is to do", 60)
    closing = threading.Thread(target=ending.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
