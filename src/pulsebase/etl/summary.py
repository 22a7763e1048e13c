"""The summary of a whole import: sums over all kinds of files, whose readings they are, and why some were refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulsebase.etl.importer import Sink
from pulsebase.etl.load import StoredRows
from pulsebase.etl.records import KeptRecords
from pulsebase.etl.totals import KindTotal, add_bounded
from pulsebase.ingest import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.exported import Record
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary

#: How many different reasons are counted separately.
_MOST_REASONS = 100
IN_ALL = "all"


def in_all(kinds: Sequence[KindTotal]) -> KindTotal:
    """Return the sums over all kinds of files."""
    total = KindTotal(IN_ALL)
    for kind in kinds:
        total = total.joined(kind)
    return total


class RefusalCounts:
    """Counts refusals by field and reason."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, errors: Sequence[FieldError]) -> None:
        """Count some more."""
        for error in errors:
            add_bounded(self._counts, {f"{error.field}: {error.reason}": 1}, _MOST_REASONS)

    @property
    def by_reason(self) -> dict[str, int]:
        """Return the counts, the largest first, by `field: reason`."""
        return dict(sorted(self._counts.items(), key=lambda item: -item[1]))


class PeopleCounted:
    """A sink that also remembers of whom something was stored. See `importer.Sink`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._people: set[str] = set()

    @property
    def people(self) -> list[str]:
        """Return their ids in order."""
        return sorted(self._people)

    def readings(self, rows: Candidates) -> StoredRows:
        """See `importer.Sink.readings`."""
        stored = self._sink.readings(rows)
        users = rows.user_ids if isinstance(rows.user_ids, Ids) else Ids.of(rows.user_ids)
        kept = np.ones(len(rows), np.bool_)
        kept[[error.index or 0 for error in stored.refused]] = False
        self._people |= {users.texts[code] for code in np.unique(users.codes[kept]).tolist()}
        return stored

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """See `importer.Sink.summaries`."""
        self._sink.summaries(days)
        self._people |= {day.user_id for day in days}

    def records(self, records: Sequence[Record]) -> KeptRecords:
        """See `importer.Sink.records`."""
        kept = self._sink.records(records)
        refused = {error.index for error in kept.errors}
        self._people |= {record.user_id for place, record in enumerate(records) if place not in refused}
        return kept
