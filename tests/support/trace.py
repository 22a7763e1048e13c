"""Reads what `strace` saw of a server: was every acknowledged reading on the disk before its answer left?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

#: Follow every thread, name the files, show whole strings as hexadecimal; only calls that write, send or flush.
STRACE = (
    *("strace", "--follow-forks", "--decode-fds=path", "--string-limit=1000000", "--strings-in-hex=non-ascii"),
    *("--quiet=all", "--signal=none", "--trace=write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync"),
)

_LINE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+)[^\"]*$")
_FILE = re.compile(r"\d+<([^>]*)>")
_FLUSHES = ("fdatasync", "fsync")


class Acknowledged(NamedTuple):
    """A 202 that a client has got: the id in its head, and the times of the readings it is for."""

    request_id: str
    times_us: Sequence[int]


@dataclass(slots=True)
class _Call:
    name: str
    text: str
    began: int
    ended: int | None = None
    result: int | None = None

    @property
    def file(self) -> str:
        found = _FILE.match(self.text)
        return found[1] if found else ""


def calls_in(lines: Iterable[str]) -> list[_Call]:
    """The calls in the order in which they began; places are line numbers, calls of other threads may lie between."""
    calls: list[_Call] = []
    open_calls: dict[str, _Call] = {}
    for place, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, rest = match["thread"], match["rest"]
        if match["resumed"]:
            call = open_calls.pop(thread, None)
            if call is None:
                continue
        else:
            call = _Call(match["call"], rest, place)
            calls.append(call)
            if rest.rstrip().endswith("<unfinished ...>"):
                open_calls[thread] = call
                continue
        result = _RESULT.search(rest.rstrip())
        call.ended, call.result = place, int(result[1]) if result else None
    return calls


def answered_too_early(lines: Iterable[str], answers: Sequence[Acknowledged]) -> list[str]:
    """What is wrong with each answer that was sent before all its readings were flushed; empty if none was.

    A reading is on the disk once a flush of a journal file has succeeded that began after the write of its bytes had
    ended.
    """
    calls = calls_in(lines)
    journal = [call for call in calls if call.file.endswith(".journal")]
    writes = [call for call in journal if call.name not in _FLUSHES]
    flushes = [call for call in journal if call.name in _FLUSHES and call.result == 0]
    sent = [call for call in calls if call.name not in _FLUSHES and "HTTP/1.1 202" in call.text]
    faults = []
    for answer in answers:
        began = [call.began for call in sent if answer.request_id in call.text]
        if not began:
            faults.append(f"{answer.request_id}: the answer is not in the trace")
            continue
        for time_us in answer.times_us:
            fault = _fault(time_us, began[0], writes, flushes)
            if fault:
                faults.append(f"{answer.request_id}: {fault}")
    return faults


def _fault(time_us: int, answered: int, writes: Sequence[_Call], flushes: Sequence[_Call]) -> str | None:
    stored = _as_traced(time_us.to_bytes(8, "little"))
    holding = [call for call in writes if stored in call.text]
    if not holding:
        return f"the reading of {time_us} was never written"
    for write in holding:
        for flush in flushes:
            flushed = write.ended is not None and flush.began > write.ended and flush.file == write.file
            if flushed and flush.ended is not None and flush.ended < answered:
                return None
    return f"the reading of {time_us} was not flushed before the answer"


def _as_traced(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="ascii", errors="replace").splitlines()
