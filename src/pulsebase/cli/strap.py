"""`strap`: record a heart rate strap over Bluetooth, and send what it tells to a server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from pulsebase.cli.output import console
from pulsebase.files.outbox import Outbox
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.sources.strap import Bluetooth, StrapRecorder, follow_strap
from pulsebase.sources.uploads import Uploader


@dataclass(frozen=True, slots=True)
class StrapOptions:
    """What the command was told; see its options."""

    user_id: str
    strap: str | None
    device: str | None
    url: str
    key_file: Path | None
    outbox: Path | None


async def run_strap(options: StrapOptions, bluetooth: Bluetooth | None = None, *, every_s: float = 2.0) -> None:
    """Record until SIGINT or SIGTERM, sending every so often. What could not be sent by then is sent the next time.

    Raises:
        RejectedError: an option is wrong.
        StopError: there is no Bluetooth, no choice of a strap, or no server of readings at the URL.
    """
    for name, given in (("USER_ID", options.user_id), ("--device", options.device)):
        if given is not None and (problem := identifier_problem(given)):
            raise RejectedError.of(name, problem)
    path = options.outbox or Path(platformdirs.user_data_dir("pulsebase")) / "strap.outbox"
    with Outbox(path) as outbox:
        if len(outbox):
            _say(f"{len(outbox):,} readings of an earlier run wait in {path}.")
        recorder = StrapRecorder(options.user_id, options.device, outbox, wall_clock_us, _say)
        uploader = Uploader(outbox, options.url, _key_in(options.key_file), _say, every_s=every_s)
        try:
            await _until_stopped(follow_strap(options.strap, recorder, bluetooth or Bluetooth()), uploader.run())
            recorder.finish()
            await uploader.send_once()
        finally:
            recorder.finish()
            await uploader.close()
            _tell(recorder, uploader, len(outbox), path)


async def _until_stopped(*work: Coroutine[Any, Any, Any]) -> None:
    """Run coroutines side by side until a signal comes or one of them fails."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.ensure_future(each) for each in (*work, stopped.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _key_in(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StopError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if not key.isascii() or not key.isprintable() or not key:
        raise RejectedError.of("--key-file", "must hold one key, in one line")
    return key


def _tell(recorder: StrapRecorder, uploader: Uploader, waiting: int, path: Path) -> None:
    heard, counts = recorder.heard, uploader.counts
    if not (heard.measurements or counts.stored or waiting):
        return
    _say(f"{heard.measurements:,} measurements, {heard.beats:,} beats; {counts.stored:,} readings stored.")
    for count, what in (
        (heard.without_contact, "measurements without contact to the skin, left out"),
        (heard.unreadable, "messages that are no measurement, left out"),
        (heard.dropped, "readings that found no room in the outbox or in memory, and are lost"),
        (counts.refused, "readings that the server refused"),
        (waiting, f"readings that wait in {path}: they are sent the next time"),
    ):
        if count:
            _say(f"{count:,} {what}")


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
