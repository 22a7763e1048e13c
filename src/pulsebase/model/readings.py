"""`ReadingBatch`: an Arrow table proven to match the schema. The only data-plane type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: `value` is in hundredths of the metric's unit; `confidence` is 0–3 or null; `time` is UTC.
READING_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("device_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("value", pa.int16(), nullable=False),
        pa.field("confidence", pa.int8(), nullable=True),
    ]
)


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Readings that were checked and may be written, and where they came from.

    `table` has `READING_SCHEMA`, one chunk a column. Later rows win over earlier ones of the same identity. `origin`
    is the number a store gave for the stream, sync or import (`Writer.register_origin`).
    """

    table: pa.Table
    origin: int

    def __post_init__(self) -> None:
        if not self.table.schema.equals(READING_SCHEMA):
            raise TypeError(f"not the schema of readings: {self.table.schema.names}")
        for field in READING_SCHEMA:
            if not field.nullable and self.table[field.name].null_count:
                raise TypeError(f"{field.name} must not hold nulls")
        if any(column.num_chunks > 1 for column in self.table.columns):
            object.__setattr__(self, "table", self.table.unify_dictionaries().combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def of_columns(  # noqa: PLR0917 a column each
        cls,
        user_ids: Sequence[str],
        device_ids: Sequence[str],
        times_us: npt.ArrayLike,
        values: npt.ArrayLike,
        confidences: Sequence[int | None] | None,
        origin: int,
    ) -> ReadingBatch:
        """A batch of columns of equal length: times in microseconds since 1970, values in hundredths of a unit."""
        count = len(user_ids)
        return cls(
            pa.table(
                [
                    pa.array(user_ids, pa.string()).dictionary_encode(),
                    pa.array(device_ids, pa.string()).dictionary_encode(),
                    pa.array(np.asarray(times_us, np.int64)).cast(READING_SCHEMA.field("time").type),
                    pa.array(np.asarray(values, np.int16)),
                    pa.nulls(count, pa.int8()) if confidences is None else pa.array(confidences, pa.int8()),
                ],
                schema=READING_SCHEMA,
            ),
            origin,
        )

    def user_ids(self) -> set[str]:
        """The people whose readings are in the batch."""
        return set(pc.unique(self.table["user_id"]).to_pylist())
