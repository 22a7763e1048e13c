"""A desk where files of people are handed in, over a real ingestor and the memory store."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.importer import Importer, ImportWatcher
from pulsebase.etl.load import ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.etl.results import FileResult
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import SECOND_US
from pulsebase.stores.memory import MemoryStore

ANN = FileOwner("ann", None, everybody_in(ZoneInfo("UTC")))


def sink_of(ingestor: Ingestor, store: MemoryStore, origin: int) -> ImportSink:
    rules = ReadingRules()
    return ImportSink(ingestor, store, RecordKeeper(store, rules, contextlib.nullcontext), rules, origin=origin)


class Desk:
    """Where files are handed in, and what has become of them."""

    def __init__(self, store: MemoryStore, ingestor: Ingestor) -> None:
        self.store, self._ingestor = store, ingestor
        self.refused: list[tuple[str, FieldError]] = []
        self.limit_bytes = 1 << 30
        self.imports = 0

    def importer(self, owner: FileOwner = ANN) -> Importer:
        self.imports += 1
        origin = self._ingestor.register_origin("import", f"desk {self.imports}")
        sink = sink_of(self._ingestor, self.store, origin)
        return Importer(sink, owner, self.limit_bytes, ImportWatcher(rejects=self._on_rejects))

    def bring(self, data: bytes, name: str = "file", owner: FileOwner = ANN) -> list[FileResult]:
        return list(self.importer(owner).upload(name, io.BytesIO(data)))

    def bring_one(self, data: bytes, owner: FileOwner = ANN) -> FileResult:
        (result,) = self.bring(data, owner=owner)
        return result

    def _on_rejects(self, result: FileResult, errors: Sequence[FieldError]) -> None:
        self.refused += [(result.counts, error) for error in errors]

    @property
    def rows(self) -> list[tuple[str, str, int, float, int | None]]:
        """(person, device, seconds since 1970, bpm, confidence)"""
        stored = self.store.stored().to_pylist()
        return [
            (row["user_id"], row["device_id"], row["time_us"] // SECOND_US, row["value"] / 100, row["confidence"])
            for row in stored
        ]

    @property
    def readings(self) -> list[tuple[str, str, str, int, float]]:
        """(metric, person, device, microseconds since 1970, value in the metric's unit)"""
        return [
            (
                row["metric"],
                row["user_id"],
                row["device_id"],
                row["time_us"],
                row["value"] / METRICS[row["metric"]].scale,
            )
            for row in self.store.stored().to_pylist()
        ]

    @property
    def reasons(self) -> list[tuple[int | None, str, str]]:
        """(place, field, reason) of what was refused"""
        return [(error.index, error.field, error.reason) for _, error in self.refused]

    @property
    def refusals(self) -> list[tuple[str, int | None, str]]:
        return [(counts, error.index, error.field) for counts, error in self.refused]
