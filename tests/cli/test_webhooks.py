"""Webhooks and the commands: what an import by a command tells, and what is sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.files import ISO_FILE, ISO_ROWS, US_FILE, write_files
from tests.support.process import Place, serving, wait_until
from tests.support.receiver import receiving


def test_an_import_is_told_of_and_what_was_given_up_is_sent_again(tmp_path: Path) -> None:
    write_files(tmp_path)
    place = Place(tmp_path, webhook_private_networks='["127.0.0.0/8"]', webhook_queue="1")
    with receiving() as receiver:
        receiver.silent.clear()
        with serving(place) as server:
            wanted = {"url": receiver.url, "events": ["import.finished"]}
            webhook_id = server.client.post("/v1/webhooks", json=wanted).json()["webhook_id"]

            def listed(*more: str) -> list[dict[str, Any]]:
                done = place.run("webhooks", "deliveries", webhook_id, "--format", "json", *more)
                assert done.returncode == 0, done.stderr
                return list(json.loads(done.stdout)["data"])

            def wait_until_none_waits() -> None:
                path = f"/v1/webhooks/{webhook_id}/deliveries?state=waiting"
                wait_until(lambda: server.client.get(path).json()["data"] == [], "what waits is taken")

            assert place.run("import", ISO_FILE).returncode == 0
            receiver.wait_for(1)
            assert place.run("import", US_FILE).returncode == 0
            (dead,) = listed("--state", "dead")
            assert dead["problem"] == "too many deliveries waited already"
            retry = ("webhooks", "retry", webhook_id)
            assert place.run(*retry).stdout == "0 deliveries are sent again.\n", "one waits, and no more may"
            receiver.silent.set()
            wait_until_none_waits()
            assert place.run(*retry, str(dead["id"])).stdout == "1 deliveries are sent again.\n"
            receiver.wait_for(2)
            assert receiver.ids()[1] == dead["event_id"]
            first, second = (body["data"] for body in receiver.bodies())
            count = len(ISO_ROWS)
            counts = {"files": 1, "read": count, "written": count, "unchanged": 0, "rejected": 0, "people": 1}
            assert first == {"import_id": first["import_id"], "status": "done"} | counts
            assert second["import_id"] != first["import_id"]
            wait_until_none_waits()
        # Without a server the command holds the store, and what it notes is told by whoever holds it next.
        assert place.run("import", ISO_FILE).returncode == 0
        assert [each["type"] for each in listed()] == ["import.finished"] * 3
        said = place.run("webhooks", "list").stdout
        assert webhook_id in said
        refused = place.refusal("webhooks", "retry", "none")
        assert refused == "pulsebase: there is no such webhook"
