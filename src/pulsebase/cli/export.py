"""`export`: write readings to Parquet, CSV or NDJSON files, and records of people beside them."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

import httpx2 as httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.exported import MANIFEST, READINGS, manifest, record_name
from pulsebase.query.exports import CSV_HEADER, EXPORT_SCHEMA, csv_lines, in_units, ndjson_lines
from pulsebase.settings import Settings
from pulsebase.stores.records import KINDS

#: Rows collected before they are written, so that Parquet files have few row groups.
_ROW_GROUP_ROWS = 1 << 20
_PIECE_BYTES = 1 << 20
_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_Parameters = list[tuple[str, str | int | float | bool | None]]


@dataclass(frozen=True, slots=True)
class ExportChoices:
    """What to export, as typed. By default everybody and all time."""

    form: str
    out: Path
    users: Sequence[str]
    start: str | None
    end: str | None

    @property
    def in_one_file(self) -> bool:
        """Whether `out` names a single file: one whose extension is the format."""
        return self.out.suffix == f".{self.form}"


def run_export(settings: Settings, choices: ExportChoices) -> None:
    """Write the files, all of them or none.

    Raises:
        RejectedError: the format is unknown, or the selection is not valid.
        StopError: something exists at that place already, or it cannot be written.
    """
    if choices.form not in _FILES:
        raise RejectedError.of("--format", f"must be {', '.join(_FILES)}")
    out = choices.out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise StopError(f"{choices.out} is there already; name a new file, or a new or empty folder")
    # Written under another name first, so that the final name never holds an incomplete export.
    partial = out.with_name(out.name + ".partial")
    _remove(partial)
    try:
        with session(settings) as client:
            partial.parent.mkdir(parents=True, exist_ok=True)
            if choices.in_one_file:
                people, readings = None, _write_readings(client, choices, partial)
            else:
                people, readings = _write_folder(client, choices, partial)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise StopError(f"{error.filename or choices.out}: {error.strerror}") from error
    finally:
        _remove(partial)
    whole = "" if people is None else f"{people:,} people and "
    text = f"{whole}{readings:,} readings exported to {choices.out}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _write_folder(client: httpx.Client, choices: ExportChoices, folder: Path) -> tuple[int, int]:
    """Write everything. Return the numbers of people and readings."""
    folder.mkdir()
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest()))
    lines = {kind: _write_records(client, choices, folder / record_name(kind), kind) for kind in KINDS}
    (folder / READINGS).mkdir()
    return lines["people"], _write_readings(client, choices, folder / READINGS)


def _write_records(client: httpx.Client, choices: ExportChoices, path: Path, kind: str) -> int:
    """Write one kind of records. Return how many there are."""
    with path.open("wb") as file, _asked(client, "/v1/admin/records", [*_parameters(choices), ("kind", kind)]) as body:
        return sum(file.write(piece) and piece.count(b"\n") for piece in body.iter_raw(_PIECE_BYTES))


def _write_readings(client: httpx.Client, choices: ExportChoices, place: Path) -> int:
    """Write the readings, into one file or into folders by day. Return how many there are."""
    file_type = _FILES[choices.form]
    readings = 0
    file: _File | None = file_type(place) if choices.in_one_file else None
    day: int | None = None
    columns = TextColumn("{task.completed:,} readings"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("export", total=None)
        for batch in _batches(client, choices):
            its_day = batch["time"].cast(pa.int64())[0].as_py() // _DAY_US
            if its_day != day:
                day = its_day
                if not choices.in_one_file:
                    if file is not None:
                        file.close()
                    file = file_type(_place_of(its_day, place, choices.form))
            assert file is not None
            file.write(in_units(batch))
            readings += batch.num_rows
            progress.update(task, completed=readings)
    if file is not None:
        file.close()
    return readings


def _place_of(day: int, folder: Path, form: str) -> Path:
    """Make the folder of a day, and return the path of its file."""
    path = folder / f"date={_EPOCH + timedelta(days=day)}" / f"part-0.{form}"
    path.parent.mkdir()
    return path


def _batches(client: httpx.Client, choices: ExportChoices) -> Iterator[pa.RecordBatch]:
    with _asked(client, "/v1/admin/export", _parameters(choices)) as response:
        pieces = io.BufferedReader(_Pieces(response.iter_raw(_PIECE_BYTES)), _PIECE_BYTES)
        yield from pa.ipc.open_stream(pa.PythonFile(pieces, mode="r"))


def _parameters(choices: ExportChoices) -> _Parameters:
    within = [(name, text) for name, text in (("start", choices.start), ("end", choices.end)) if text is not None]
    return [*(("user_ids", user_id) for user_id in choices.users), *within]


@contextlib.contextmanager
def _asked(client: httpx.Client, path: str, parameters: _Parameters) -> Iterator[httpx.Response]:
    """Yield a successful answer, to be read piece by piece.

    Raises:
        RefusedError: the answer is a problem.
    """
    with client.stream("GET", path, params=parameters) as response:
        if not response.is_success:
            response.read()
            answer_of(response)
        yield response


class _Pieces(io.RawIOBase):
    """The pieces of an answer, one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # a memoryview is what BufferedReader gives
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        taken = min(len(buffer), len(self._left))
        buffer[:taken], self._left = self._left[:taken], self._left[taken:]
        return taken


class _File(Protocol):
    """A file that is written batch by batch."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    def __init__(self, path: Path) -> None:
        # Times ascend except where the device changes, so delta encoding fits. Without Arrow's schema, readers see ids
        # as plain texts.
        self._writer = pq.ParquetWriter(
            path,
            EXPORT_SCHEMA,
            compression="zstd",
            use_dictionary=["user_id", "device_id", "heart_rate", "confidence"],
            column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
            store_schema=False,
        )
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches).unify_dictionaries()
            self._writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
        self._batches, self._rows = [], 0


class _TextFile:
    def __init__(self, path: Path, header: bytes, lines: Callable[[pa.RecordBatch], bytes]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._file.write(header)
        self._lines = lines

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(self._lines(batch))

    def close(self) -> None:
        self._file.close()


_FILES: Mapping[str, Callable[[Path], _File]] = {
    "parquet": _ParquetFile,
    "csv": lambda path: _TextFile(path, CSV_HEADER, csv_lines),
    "ndjson": lambda path: _TextFile(path, b"", ndjson_lines),
}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
