"""`import`: research CSV files into the store, with a progress bar and a count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2 as httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pulsebase.cli.blocks import store_block
from pulsebase.cli.session import session
from pulsebase.etl.extract.research_csv import Block, read_research_csv
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.timerange import zone_named
from pulsebase.settings import Settings

console = Console()
_SHOWN_REJECTS = 10


@dataclass(slots=True)
class ImportCount:
    """What became of a file's lines, and the first refusals as (line, text)."""

    read: int = 0
    written: int = 0
    rejected: int = 0
    first_rejects: list[tuple[int, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def reject(self, line: int, name: str, reason: str) -> None:
        """Count a refusal."""
        self.rejected += 1
        self.reasons[f"{name}: {reason}"] += 1
        if len(self.first_rejects) < _SHOWN_REJECTS:
            self.first_rejects.append((line, f"{name}: {reason}"))


def run_imports(settings: Settings, files: Sequence[Path], tz: str, device_id: str) -> bool:
    """Import the files one after the other; whether each could be read to its end."""
    zone = zone_named(tz, "--tz")
    problem = identifier_problem(device_id)
    if problem is not None:
        raise RejectedError.of("--device", problem)
    sizes = [_size(path) for path in files]  # before the store is opened: a mistyped name makes none
    sound = True
    with session(settings) as client, _progress() as progress:
        for path, size in zip(files, sizes, strict=True):
            task = progress.add_task(path.name, total=size)
            try:
                count = _import_file(client, path, read_research_csv(path, zone, device_id), progress, task)
            except (RejectedError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                progress.console.print(f"{path}: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
                sound = False
                continue
            _report(progress.console, path, count)
    return sound


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise StopError(f"{path}: {error.strerror}") from error


def _import_file(
    client: httpx.Client, path: Path, blocks: Iterator[Block], progress: Progress, task: TaskID
) -> ImportCount:
    count = ImportCount()
    name = f"{path.name} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    for block in blocks:
        _send(client, name, block, count)
        progress.update(task, completed=block.bytes_read)
    return count


def _send(client: httpx.Client, name: str, block: Block, count: ImportCount) -> None:
    for error in block.errors:
        count.reject(error.index or 0, error.field, error.reason)
    rows = len(block.candidates)
    count.read += rows + len(block.errors)
    if rows == 0:
        return
    answer = store_block(client, name, block.candidates)
    count.written += answer["accepted"]
    for entry in answer["errors"]:
        count.reject(entry["index"], entry["field"], entry["reason"])


def _report(out: Console, path: Path, count: ImportCount) -> None:
    text = f"{path.name}: {count.read:,} read, {count.written:,} written, {count.rejected:,} rejected"
    out.print(text, markup=False, highlight=False, soft_wrap=True)
    for line, reason in count.first_rejects:
        out.print(f"  line {line}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if count.rejected > len(count.first_rejects):
        out.print(f"  … and {count.rejected - len(count.first_rejects):,} more:", highlight=False)
        for reason, times in count.reasons.most_common():
            out.print(f"  {times:,} × {reason}", markup=False, highlight=False, soft_wrap=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
    )
