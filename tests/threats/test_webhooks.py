"""Webhooks of a key for one person."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.events.kinds import Stretch, stored
from pulsebase.events.webhooks import Told
from pulsebase.model.timerange import TimeRange
from tests.support.process import wait_until
from tests.support.receiver import ALLOWED, Receiver, receiving
from tests.threats.conftest import fill, guarded, reading

STRETCH = Stretch("heart_rate", TimeRange(0, 1), 1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_webhook_tells_what_its_key_may_see_and_no_more(receiver: Receiver) -> None:
    with guarded(**ALLOWED) as place, receiving() as owners:
        fill(place, {"ann": 60.0, "bob": 90.0})
        ann = place.client(place.key("ann", people=["ann"]))
        wanted = {"url": receiver.url, "events": ["readings.stored", "import.finished"]}
        mine = ann.post("/v1/webhooks", json=wanted).json()
        assert ann.post("/v1/webhooks", json=wanted | {"user_ids": ["bob"]}).status_code == 404
        whole = place.owner.post("/v1/webhooks", json=wanted | {"url": owners.url}).json()
        assert [each["webhook_id"] for each in ann.get("/v1/webhooks").json()["data"]] == [mine["webhook_id"]]
        assert len(place.owner.get("/v1/webhooks").json()["data"]) == 2
        for path in ("", "/deliveries"):
            assert ann.get(f"/v1/webhooks/{whole['webhook_id']}{path}").status_code == 404
        assert ann.delete(f"/v1/webhooks/{whole['webhook_id']}").status_code == 404
        assert ann.post(f"/v1/webhooks/{whole['webhook_id']}/deliveries/retry", json={}).status_code == 404
        sent = [reading(who, "2024-02-01T10:00:00Z", 70) for who in ("bob", "ann")]
        assert place.owner.post("/v1/metrics/heart-rate/batch", json={"readings": sent}).status_code == 202
        place.owner.post("/v1/imports?name=x", content=b"{}")
        owners.wait_for(3)
        receiver.wait_for(1)
        assert [body["data"].get("user_id") for body in receiver.bodies()] == ["ann"]
        assert {body["data"].get("user_id") for body in owners.bodies()} == {"ann", "bob", None}
        receiver.status = 503
        place.owner.post(
            "/v1/metrics/heart-rate/batch", json={"readings": [reading("ann", "2024-02-02T10:00:00Z", 70)]}
        )
        receiver.wait_for(2)
        place.parts.services.access.state.revoke_key("ann", 1)
        receiver.status = 200
        shown = f"/v1/webhooks/{mine['webhook_id']}/deliveries?state=dead"
        wait_until(lambda: len(place.owner.get(shown).json()["data"]) == 1, "it is given up", 60)
        (dead,) = place.owner.get(shown).json()["data"]
        assert dead["problem"] == "its key may not see this any more"
        assert len(receiver.came) == 2, "nothing is sent with a key that ended"


def test_pages_of_deliveries_are_full_whomever_the_others_are_about(receiver: Receiver) -> None:
    with guarded(**ALLOWED) as place:
        fill(place, {"ann": 60.0, "bob": 90.0})
        ann = place.client(place.key("ann", people=["ann"]))
        webhook_id = ann.post("/v1/webhooks", json={"url": receiver.url, "events": ["readings.stored"]}).json()[
            "webhook_id"
        ]
        webhooks = place.parts.services.webhooks
        (webhook,) = webhooks.all()
        who = ["ann", *["bob"] * 4, "ann", "bob", "ann"]  # as when the key was of both
        webhooks._file.note([Told(stored(each, STRETCH), [webhook.number]) for each in who], 0)
        path, found = f"/v1/webhooks/{webhook_id}/deliveries?limit=2", []
        cursor: str | None = ""
        while cursor is not None:
            page = ann.get(path + cursor).json()
            found.append([each["user_id"] for each in page["data"]])
            cursor = None if page["next_cursor"] is None else f"&cursor={page['next_cursor']}"
        assert found == [["ann", "ann"], ["ann"]]


def test_only_admin_keys_make_webhooks(receiver: Receiver) -> None:
    with guarded(**ALLOWED) as place:
        wanted = {"url": receiver.url, "events": ["import.finished"]}
        reads = place.client(place.key("reads", ["read", "ingest"]))
        assert reads.post("/v1/webhooks", json=wanted).status_code == 403
        assert reads.get("/v1/webhooks").status_code == 403
        assert place.client().post("/v1/webhooks", json=wanted).status_code == 401
