"""A real server whose disk fails in the middle of a load: its answers are what is there after the next start."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.needs import need_program
from tests.support.process import BASE_US, Place, reading, serving

UNMERGED = {"merge_interval_s": "3600"}
CLIENTS, TURNS, BATCH = 3, 12, 20
#: Some blocks of a body.
MANY = 200_000
#: The first journal file of a store, in which all of this happens.
FIRST = "store.duckdb.journal/00000000000000000000.journal"


class Sender:
    """Sends batches that write the same seconds over and over, each time with another value."""

    def __init__(self, number: int) -> None:
        self.user_id = f"person-{number}"
        self.kinds: Counter[str] = Counter()
        self.possible: set[float | None] = {None}

    def work(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            for turn in range(TURNS):
                value = 60.0 + turn
                readings = [reading(self.user_id, second, value) for second in range(BATCH)]
                answer = client.post("/v1/metrics/heart-rate/batch", json={"readings": readings})
                kind = "accepted" if answer.status_code == 202 else answer.json()["type"].rpartition(":")[2]
                kind = "unavailable" if kind in {"disk-full", "disk-failed"} else kind
                self.kinds[kind] += 1
                if kind == "accepted":
                    self.possible = {value}
                elif kind == "outcome-unknown":
                    self.possible = self.possible | {value}
                    assert int(answer.headers["Retry-After"]) > 0
                else:
                    assert (answer.status_code, kind) == (503, "unavailable"), answer.text


def strace(place: Place, *faults: str) -> list[str]:
    """Faults of the first journal file's calls, of every thread."""
    injected = [f"--inject={fault}" for fault in faults]
    calls = ",".join(sorted({fault.partition(":")[0] for fault in faults}))
    return [
        *("strace", "--follow-forks", "--quiet=all", "--signal=none", f"--trace={calls}"),
        *(f"--trace-path={place.folder / FIRST}", f"--output={place.folder / 'trace'}", *injected),
    ]


@pytest.mark.parametrize(
    ("faults", "kinds", "recovers"),
    [
        (["fdatasync:error=EIO:when=5"], {"accepted", "unavailable"}, False),
        (["fdatasync:error=EIO:when=5+", "fsync:error=EIO:when=1+"], {"accepted", "unavailable"}, False),
        (["fdatasync:error=EIO:when=5", "ftruncate:error=EIO:when=1+"], {"accepted", "unavailable"}, False),
        (["write:error=ENOSPC:when=6"], {"accepted", "unavailable"}, True),
        (["write:error=EIO:when=6", "ftruncate:error=EIO:when=1"], {"accepted", "unavailable"}, False),
        (["write:error=ENOSPC:when=6..8", "ftruncate:error=EIO:when=2"], {"accepted", "unavailable"}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_what_was_answered_is_what_is_there_after_the_next_start(
    tmp_path: Path, faults: Sequence[str], kinds: set[str], recovers: bool
) -> None:
    found = after_a_load(tmp_path, faults)
    assert set(found) == kinds, found
    if not recovers:
        assert found["accepted"] < CLIENTS * TURNS / 2


def test_where_nothing_can_be_made_to_last_any_more_the_answer_is_unknown(tmp_path: Path) -> None:
    """Neither can the file be cut, nor can the list say where it ends: that is a new file in the store's folder."""
    faults = ["fdatasync:error=EIO:when=5", "ftruncate:error=EIO:when=1+"]
    found = after_a_load(tmp_path, faults, no_list=True)
    assert set(found) == {"accepted", "unavailable", "outcome-unknown"}, found
    assert found["outcome-unknown"] <= CLIENTS  # those that shared the commit


def after_a_load(folder: Path, faults: Sequence[str], *, no_list: bool = False) -> Counter[str]:
    """The kinds of answers of a load during which these calls fail; what is there afterwards is as they said."""
    need_program("strace")
    place = Place(folder, **UNMERGED)
    senders = [Sender(number) for number in range(CLIENTS)]
    with serving(place, traced_by=strace(place, *faults)) as server:
        first = server.post([reading("first", 1)])
        assert first.status_code == 202, first.text
        if no_list:
            (folder / "store.duckdb.journal.list.new").mkdir()  # where the next list would be written
        threads = [threading.Thread(target=sender.work, args=(server.url,)) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kinds = sum((sender.kinds for sender in senders), Counter[str]())
        broken = kinds["unavailable"] > 0 and kinds["accepted"] < CLIENTS * TURNS / 2
        assert server.client.get("/health").status_code == (503 if broken else 200)
        server.kill()
    if no_list:
        (folder / "store.duckdb.journal.list.new").rmdir()
    with serving(place) as server:
        for sender in senders:
            held = server.raw(sender.user_id)
            for second in range(BATCH):
                assert held.get(BASE_US + second * 1_000_000) in sender.possible
            assert set(held) <= {BASE_US + second * 1_000_000 for second in range(BATCH)}
        assert server.post([reading("last", 1)]).status_code == 202
        server.kill()
    assert "The store is sound." in place.run("check").stdout
    return kinds


def test_a_bulk_body_says_how_much_of_it_was_stored_before_the_disk_failed(tmp_path: Path) -> None:
    need_program("strace")
    place = Place(tmp_path, **UNMERGED)
    with serving(place, traced_by=strace(place, "fdatasync:error=EIO:when=2+", "fsync:error=EIO:when=1+")) as server:
        body = "user_id,device_id,timestamp,heart_rate\n" + "\n".join(
            f"ann,strap,{time_of(n)},{60 + n % 50}" for n in range(MANY)
        )
        answer = server.client.post(
            "/v1/metrics/heart-rate/bulk", content=body.encode(), headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 503
        said = answer.json()["detail"]
        server.kill()
    with serving(place) as server:
        stored = len(server.raw("ann"))
    assert 0 < stored < MANY
    assert f"{stored} readings of the body were stored" in said


def time_of(n: int) -> str:
    from pulsebase.model.timerange import format_us

    return format_us(BASE_US + n * 1_000_000)
