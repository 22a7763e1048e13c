"""Signals of a key for one person."""

from __future__ import annotations

from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.timerange import MINUTE_US, format_us
from tests.support.process import wait_until
from tests.threats.conftest import fill, guarded


def test_a_signal_looks_at_whom_its_key_may_see_and_at_nobody_else() -> None:
    with guarded() as place:
        fill(place, {"ann": 60.0, "bob": 90.0})
        ann = place.client(place.key("ann", people=["ann"]))
        rule = {"metric": "heart_rate", "above": 200}
        mine, whole = ann.post("/v1/signals", json=rule).json(), place.owner.post("/v1/signals", json=rule).json()
        assert ann.post("/v1/signals", json=rule | {"user_ids": ["bob"]}).status_code == 404
        now = format_us(wall_clock_us() // MINUTE_US * MINUTE_US)
        sent = [{"device_id": "d", "user_id": who, "timestamp": now, "heart_rate": 210} for who in ("ann", "bob")]
        taken = place.owner.post("/v1/metrics/heart-rate/batch", json={"readings": sent})
        assert taken.status_code == 202, taken.text
        shown = f"/v1/signals/{whole['signal_id']}"
        wait_until(lambda: place.owner.get(shown).json()["raised_people"] == 2, "both", 60)
        wait_until(lambda: ann.get(f"/v1/signals/{mine['signal_id']}").json()["raised_people"] == 1, "ann", 60)
        assert ann.get(shown).status_code == 404
        assert ann.delete(shown).status_code == 404
        (listed,) = ann.get("/v1/signals").json()["data"]
        assert (listed["signal_id"], [each["user_id"] for each in listed["raised"]]) == (mine["signal_id"], ["ann"])
        assert place.owner.get(f"/v1/signals/{mine['signal_id']}").json()["raised_people"] == 1
        following = place.parts.services.signals.events(0, 10)
        assert sorted(each.user_id for each in following) == ["ann", "ann", "bob"]
        reads = place.client(place.key("reads", ["read"]))
        assert reads.post("/v1/signals", json=rule).status_code == 403
        assert len(reads.get("/v1/signals").json()["data"]) == 2
