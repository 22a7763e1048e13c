"""A stream tells a key of its own people alone, and lasts no longer than the key."""

from __future__ import annotations

import contextlib

import httpx2 as httpx

from pulsebase.api.server.http_server import bound_socket, serving
from tests.api.test_events import beats, events
from tests.threats.conftest import fill, guarded, reading


def test_a_stream_tells_of_the_keys_people_alone_and_ends_with_the_key() -> None:
    with guarded(stream_heartbeat_s=0.2) as place, contextlib.closing(bound_socket("127.0.0.1", 0)) as listener:
        fill(place, {"ann": 60.0, "bob": 90.0})
        key = place.key("listener", ["read"], ["ann"])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/stream"
        with (
            serving(place.parts.app, [listener]),
            httpx.Client(timeout=60, trust_env=False, headers={"authorization": f"Bearer {key}"}) as client,
            client.stream("GET", url, params={"user_ids": ["ann", "bob", "eve"]}) as answer,
        ):
            told = events(answer.iter_lines())
            hello = next(told)[2]
            assert hello["missing"] == ["bob", "eve"], "who is out of reach is as unknown as nobody"
            both = {
                "readings": [reading("bob", "2024-01-17T10:00:00Z", 91), reading("ann", "2024-01-17T10:00:00Z", 61)]
            }
            assert place.owner.post("/v1/metrics/heart-rate/batch", json=both).status_code == 202
            assert beats(next(each for each in told if each[1] != "comment")) == {"ann": [61.0]}
            state = place.parts.services.access.state
            assert state.revoke_key("listener", 0)
            place.parts.services.access.ring.refresh()
            assert {kind for _, kind, _ in told} <= {"comment"}, "the stream has ended"
