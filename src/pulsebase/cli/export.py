"""`export`: write readings to Parquet, CSV or NDJSON files, or as FHIR or Open mHealth, and people's other records next
to them.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

import httpx2 as httpx
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.etl.transform.own_records import parse_records
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.model.exported import MANIFEST, manifest, readings_name, record_name
from pulsebase.model.health_codes import METRIC_OF_SCHEMA, schema_problem
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec
from pulsebase.model.summaries import DailySummary
from pulsebase.query import fhir, open_mhealth
from pulsebase.query.exports import (
    EXPORT_SCHEMA,
    VALUES_SCHEMA,
    csv_header,
    csv_lines,
    in_units,
    ndjson_lines,
    values_in_units,
)
from pulsebase.query.runs import Run, RunGatherer
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
    """What to export, as typed. By default everybody, all time; a folder holds every metric, a file heart rate."""

    form: str
    out: Path
    users: Sequence[str]
    start: str | None
    end: str | None
    named_metrics: Sequence[MetricSpec] | None = None

    @property
    def metrics(self) -> Sequence[MetricSpec]:
        """The metrics to export."""
        if self.named_metrics is not None:
            return self.named_metrics
        return (HEART_RATE,) if self.in_one_file else tuple(METRICS.values())

    @property
    def in_one_file(self) -> bool:
        """Whether `out` names a single file: one whose extension is the format, or one of the format's."""
        return self.out.suffix in _suffixes_of(self.form)


def run_export(settings: Settings, choices: ExportChoices) -> None:
    """Write the files, all of them or none.

    Raises:
        RejectedError: the format is unknown, or the selection is not valid.
        StopError: the path exists already, or cannot be written.
    """
    if choices.form not in _FILES:
        raise RejectedError.of("--format", f"must be {', '.join(_FILES)}")
    if choices.form == _OMH:
        _require_schemas(choices.metrics if choices.named_metrics is not None else ())
    out = choices.out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise StopError(f"{choices.out} exists already; name a new file, or a new or empty folder")
    # Written under another name first, so that the final name never holds an incomplete export.
    partial = out.with_name(out.name + ".partial")
    _remove(partial)
    try:
        with session(settings) as client:
            partial.parent.mkdir(parents=True, exist_ok=True)
            if choices.in_one_file:
                people, written = None, _write_readings(client, choices, partial)
            else:
                people, written = _write_folder(client, choices, partial)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise StopError(f"{error.filename or choices.out}: {error.strerror}") from error
    finally:
        _remove(partial)
    whole = "" if people is None else f"{people:,} people and "
    texts = [f"{whole}{written.readings:,} readings exported to {choices.out}"]
    for name, count in written.left_out.items():
        texts.append(f"not exported: {count:,} readings of {name}, for which Open mHealth has no schema")
    for text in texts:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Written:
    """How many readings were written, and of each metric that the format cannot hold how many were not."""

    readings: int
    left_out: Mapping[str, int]


def _require_schemas(metrics: Iterable[MetricSpec]) -> None:
    """Refuse metrics that Open mHealth has no schema for.

    Raises:
        RejectedError: there is one; names `--metric`.
    """
    for metric in metrics:
        if (problem := schema_problem(metric)) is not None:
            raise RejectedError.of("--metric", problem)


def _write_folder(client: httpx.Client, choices: ExportChoices, folder: Path) -> tuple[int, _Written]:
    """Write everything. Return the number of people, and of readings."""
    folder.mkdir()
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest()))
    lines = {kind: _write_records(client, choices, folder / record_name(kind), kind) for kind in KINDS}
    if choices.form == _FHIR:
        _write_resting(folder / record_name("summaries"), folder / _RESTING_FILE)
    return lines["people"], _write_readings(client, choices, folder)


def _write_resting(summaries: Path, path: Path) -> None:
    """Write the resting heart rates of daily summaries as Observations, if there are any."""
    today = datetime.now(UTC).date()
    with summaries.open("rb") as lines, path.open("wb") as file:
        for line in lines:
            days = [
                day for day in parse_records("summaries", [line], 1, today).records if isinstance(day, DailySummary)
            ]
            file.writelines(fhir.ndjson(each for day in days if (each := fhir.resting_of(day)) is not None))
    if not path.stat().st_size:
        path.unlink()


def _write_records(client: httpx.Client, choices: ExportChoices, path: Path, kind: str) -> int:
    """Write one kind of records. Return how many there are."""
    with path.open("wb") as file, _asked(client, "/v1/admin/records", [*_parameters(choices), ("kind", kind)]) as body:
        return sum(file.write(piece) and piece.count(b"\n") for piece in body.iter_raw(_PIECE_BYTES))


def _write_readings(client: httpx.Client, choices: ExportChoices, place: Path) -> _Written:
    """Write the readings, into one file or into folders by metric and day. Return how many there are."""
    readings = 0
    left_out: Counter[str] = Counter()
    columns = TextColumn("{task.completed:,} readings"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("export", total=None)
        files = _OneFile(choices, place) if choices.in_one_file else _FilesByDay(choices, place)
        for whole in _batches(client, choices):
            batch = _with_schema(whole, left_out) if choices.form == _OMH else whole
            if not batch.num_rows:
                continue
            files.write(batch)
            readings += batch.num_rows
            progress.update(task, completed=readings)
    files.close()
    return _Written(readings, left_out)


def _with_schema(batch: pa.RecordBatch, left_out: Counter[str]) -> pa.RecordBatch:
    """Return the readings that Open mHealth has a schema for, and count the others."""
    metrics = batch["metric"].cast(pa.string())
    known = pc.is_in(metrics, pa.array([metric.name for metric in METRIC_OF_SCHEMA.values()]))
    kept = batch.filter(known)
    if kept.num_rows < batch.num_rows:
        left_out.update(
            {each["values"]: each["counts"] for each in metrics.filter(pc.invert(known)).value_counts().to_pylist()}
        )
    return kept


class _OneFile:
    """A file with everything. Heart rate alone has columns of its own."""

    def __init__(self, choices: ExportChoices, path: Path) -> None:
        of_heart_rate = tuple(choices.metrics) == (HEART_RATE,)
        self._file = _FILES[choices.form](path, EXPORT_SCHEMA if of_heart_rate else VALUES_SCHEMA, choices.out.suffix)

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(batch)

    def close(self) -> None:
        self._file.close()


class _FilesByDay:
    """A folder for each metric, with a file for each UTC day. Days ascend, so only one day's files are open."""

    def __init__(self, choices: ExportChoices, folder: Path) -> None:
        self._form, self._day = choices.form, -1
        self._folders = {metric.name: folder / readings_name(metric) for metric in choices.metrics}
        self._files: dict[str, _File] = {}

    def write(self, batch: pa.RecordBatch) -> None:
        day = batch["time"].cast(pa.int64())[0].as_py() // _DAY_US
        if day != self._day:
            self.close()
            self._day = day
        metrics = batch["metric"].cast(pa.string())
        for name in metrics.unique().to_pylist():
            of_heart_rate = name == HEART_RATE.name
            rows = batch if len(self._folders) == 1 else batch.filter(pc.equal(metrics, name))
            if name not in self._files:
                suffix = _suffixes_of(self._form)[0]
                path = self._folders[name] / f"date={_EPOCH + timedelta(days=day)}" / f"part-0{suffix}"
                path.parent.mkdir(parents=True)
                schema = EXPORT_SCHEMA if of_heart_rate else VALUES_SCHEMA
                self._files[name] = _FILES[self._form](path, schema, suffix)
            self._files[name].write(rows)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


def _batches(client: httpx.Client, choices: ExportChoices) -> Iterator[pa.RecordBatch]:
    parameters = [*_parameters(choices), *(("metric", metric.name) for metric in choices.metrics)]
    with _asked(client, "/v1/admin/export", parameters) as response:
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
    """Reads the pieces of an answer one after the other."""

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
    """A file that is written batch by batch, of `READING_SCHEMA`."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    def __init__(self, path: Path, schema: pa.Schema, _: str) -> None:
        self._schema = schema
        # Times ascend except where the device changes, so delta encoding fits. Without Arrow's schema, readers see ids
        # as plain texts.
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=[name for name in schema.names if name != "timestamp"],
            column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
            store_schema=False,
        )
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(_in_columns_of(self._schema, batch))
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
    """A file of lines below a header, which may be empty."""

    def __init__(self, path: Path, schema: pa.Schema, header: bytes, lines: Callable[[pa.RecordBatch], bytes]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._file.write(header)
        self._schema, self._lines = schema, lines

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(self._lines(_in_columns_of(self._schema, batch)))

    def close(self) -> None:
        self._file.close()


class _HealthFile:
    """A file in a format of health systems: a piece for each run or reading, with something before, between and behind
    the pieces.
    """

    def __init__(
        self, path: Path, pieces: Callable[[Run], Iterable[bytes]], marks: tuple[bytes, bytes, bytes], empty: bytes
    ) -> None:
        """`empty` is the file of nothing at all."""
        self._file: BinaryIO = path.open("wb")
        self._before, self._between, self._behind = marks
        self._empty = empty
        self._pieces, self._runs = pieces, RunGatherer()

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(self._runs.add(batch))

    def close(self) -> None:
        self._put(self._runs.rest())
        self._file.write(self._behind if self._file.tell() else self._empty)
        self._file.close()

    def _put(self, runs: Iterator[Run]) -> None:
        for run in runs:
            for piece in self._pieces(run):
                self._file.write((self._between if self._file.tell() else self._before) + piece)


def _suffixes_of(form: str) -> Sequence[str]:
    return _SUFFIXES.get(form, (f".{form}",))


def _in_columns_of(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    return in_units(batch) if schema is EXPORT_SCHEMA else values_in_units(batch)


def _fhir_file(path: Path, _: pa.Schema, suffix: str) -> _File:
    if suffix == ".json":
        marks = fhir.BUNDLE_BEGIN, b",", fhir.BUNDLE_END
        return _HealthFile(path, lambda run: [fhir.entry(fhir.observation_of(run))], marks, fhir.EMPTY_BUNDLE)
    return _HealthFile(path, lambda run: fhir.ndjson([fhir.observation_of(run)]), (b"", b"", b""), b"")


def _omh_file(path: Path, _: pa.Schema, suffix: str) -> _File:
    marks = (b"[\n", b",", b"]\n") if suffix == ".json" else (b"", b"", b"")
    return _HealthFile(path, open_mhealth.points_of, marks, marks[0] + marks[2])


_FHIR, _OMH = "fhir", "omh"
#: The resting heart rates of daily summaries, beside the readings in a folder.
_RESTING_FILE = "resting-heart-rate.ndjson"
#: The endings of single files, where they are not the name of the format; files in folders have the first.
_SUFFIXES = {_FHIR: (".ndjson", ".json"), _OMH: (".ndjson", ".json")}
_FILES: Mapping[str, Callable[[Path, pa.Schema, str], _File]] = {
    "parquet": _ParquetFile,
    "csv": lambda path, schema, _: _TextFile(path, schema, csv_header(schema), csv_lines),
    "ndjson": lambda path, schema, _: _TextFile(path, schema, b"", ndjson_lines),
    _FHIR: _fhir_file,
    _OMH: _omh_file,
}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
