"""`ReadingBatch`: checked readings as columns, the one type in which readings travel through the program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.columns import Columns, Selection, distinct_numbers
from pulsebase.model.metrics import HEART_RATE

#: `value` is in stored units of the metric (`MetricSpec.scale`); `confidence` is 0–3 or null; `time` is UTC.
READING_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("device_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("value", pa.int16(), nullable=False),
        pa.field("confidence", pa.int8(), nullable=True),
        pa.field("metric", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)
#: In columns of confidences: none given.
NO_CONFIDENCE = -1

#: Up to this many rows a Python set finds the distinct codes faster than counting over all possible codes.
_FEW_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Ids(Sequence[str]):
    """A column of ids: row i has the id `texts[codes[i]]`.

    Columns of many batches may share one list of texts, which may grow but never changes otherwise. A column then uses
    only some of the texts.
    """

    codes: npt.NDArray[np.int32]
    texts: Sequence[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Ids:
        """A column with a list of its own."""
        codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        return cls(np.fromiter(map(codes.__getitem__, texts), np.int32, len(texts)), list(codes))

    @classmethod
    def repeated(cls, text: str, count: int) -> Ids:
        """A column of one id."""
        return cls(np.zeros(count, np.int32), [text])

    @classmethod
    def joined(cls, columns: Sequence[Sequence[str]]) -> Ids:
        """All rows, column after column; in the list is each text once that some row has. A row without an id (a code
        below 0) stays without.
        """
        numbers: dict[str, int] = {}
        codes = []
        for column in columns:
            ids = column if isinstance(column, Ids) else cls.of(column)
            used, places = distinct_numbers(ids.codes)
            ours = [-1 if code < 0 else numbers.setdefault(ids.texts[code], len(numbers)) for code in used.tolist()]
            codes.append(np.array(ours, np.int32)[places])
        return cls(np.concatenate(codes), list(numbers))

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Ids: ...

    def __getitem__(self, row: int | slice) -> str | Ids:
        return Ids(self.codes[row], self.texts) if isinstance(row, slice) else self.texts[self.codes[row]]

    def __iter__(self) -> Iterator[str]:
        return map(self.texts.__getitem__, self.codes.tolist())

    def distinct(self) -> set[str]:
        """Return the ids that occur in the rows. Rows without an id (a code below 0) are skipped."""
        if len(self.codes) <= _FEW_ROWS:
            return {self.texts[code] for code in set(self.codes.tolist()) if code >= 0}
        used = np.flatnonzero(np.bincount(self.codes[self.codes >= 0]))
        return {self.texts[code] for code in used.tolist()}

    def take(self, rows: Selection) -> Ids:
        """The rows at these places, or where the mask is true."""
        return Ids(self.codes[rows], self.texts)

    def as_arrow(self) -> pa.DictionaryArray:
        """Return the column as an Arrow dictionary array, with only the texts that occur."""
        used, codes = distinct_numbers(self.codes)
        texts = pa.array([self.texts[code] for code in used.tolist()], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), texts)


@dataclass(frozen=True, slots=True)
class ReadingBatch(Columns):
    """Readings of one metric that were checked and may be written, and where they came from.

    Columns of equal length: `times_us` are microseconds since 1970, `values` stored units of the metric,
    `confidences` 0–3 or `NO_CONFIDENCE`. Later rows win over earlier ones of the same identity. `origin` is the number
    a store gave for the stream, sync or import (`Writer.register_origin`).
    """

    users: Ids
    devices: Ids
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origin: int
    metric: str = HEART_RATE.name

    def __post_init__(self) -> None:
        columns = (self.users.codes, self.devices.codes, self.times_us, self.values, self.confidences)
        if [column.dtype for column in columns] != _DTYPES or len({len(column) for column in columns}) != 1:
            raise TypeError("not the columns of readings")

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def table(self) -> pa.Table:
        """The batch as an Arrow table of `READING_SCHEMA`."""
        times = pa.array(self.times_us).cast(READING_SCHEMA.field("time").type)
        confidences = pa.array(self.confidences, mask=self.confidences == NO_CONFIDENCE)
        metric = Ids.repeated(self.metric, len(self)).as_arrow()
        columns = [self.users.as_arrow(), self.devices.as_arrow(), times, pa.array(self.values), confidences, metric]
        return pa.table(columns, schema=READING_SCHEMA)

    @classmethod
    def of_columns(  # noqa: PLR0917 a column each
        cls,
        user_ids: Sequence[str],
        device_ids: Sequence[str],
        times_us: npt.ArrayLike,
        values: npt.ArrayLike,
        confidences: Sequence[int | None] | None,
        origin: int,
        metric: str = HEART_RATE.name,
    ) -> ReadingBatch:
        """A batch of columns of equal length: times in microseconds since 1970, values in stored units."""
        stated = [None] * len(user_ids) if confidences is None else confidences
        return cls(
            Ids.of(user_ids),
            Ids.of(device_ids),
            np.asarray(times_us, np.int64),
            np.asarray(values, np.int16),
            np.array([NO_CONFIDENCE if each is None else each for each in stated], np.int8),
            origin,
            metric,
        )


_DTYPES = [np.dtype(kind) for kind in (np.int32, np.int32, np.int64, np.int16, np.int8)]
