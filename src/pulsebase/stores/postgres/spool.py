"""An export as a file, until its reader has taken it: a reader may take hours, and no state is held for so long."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.files.disk_errors import meaning_of
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.readings import READING_SCHEMA
from pulsebase.stores.contract import EXPORT_BATCH_READINGS, STORED_SCHEMA

#: The rows of the file: with the number of their person, to see who was removed since.
_SPOOLED = pa.schema(
    [
        pa.field("user_no", pa.int64(), nullable=False),
        *(field for field in STORED_SCHEMA if field.name in {*READING_SCHEMA.names, "time_us"}),
    ]
)


class Spool:
    """The file of one export."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @contextlib.contextmanager
    def filled(self) -> Iterator[Callable[[pa.Table, Mapping[str, int]], None]]:
        """Fill the file from its beginning. The block keeps tables of `STORED_SCHEMA` in order, each with the numbers
        of its people.
        """
        self._file.seek(0)
        self._file.truncate()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, _SPOOLED, options=options) as writer:

            def keep(stored: pa.Table, numbers: Mapping[str, int]) -> None:
                people = stored["user_id"].combine_chunks().dictionary_encode()
                of_people = pa.array([numbers[user_id] for user_id in people.dictionary.to_pylist()], pa.int64())
                numbered = stored.add_column(0, _SPOOLED.field(0), of_people.take(people.indices))
                writer.write_table(numbered.select(_SPOOLED.names))

            yield keep


def exported(
    fill: Callable[[Spool], None], still_known: Callable[[Sequence[int]], set[int]]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of `contract.Reader.export`; `fill` fills the file, and `still_known` says who has not been
    removed, by number.

    Raises:
        StoreUnavailableError: there is no room for the file.
    """
    with tempfile.TemporaryFile() as file:
        try:
            fill(Spool(file))
        except OSError as error:
            unnamed = StoreUnavailableError(f"the export cannot be kept: {error.strerror}", retry_after_s=60)
            raise meaning_of(error, "the export") or unnamed from error
        file.seek(0)
        with pa.ipc.open_stream(file) as reader:
            for rows in reader:
                known = still_known(rows["user_no"].unique().to_pylist())
                yield from _batches(rows.filter(pc.is_in(rows["user_no"], pa.array(sorted(known), pa.int64()))))


def grouped(
    people: Iterable[tuple[int, str, int]], readings: int = EXPORT_BATCH_READINGS, most: int | None = None
) -> Iterator[dict[str, int]]:
    """Group people, given as number, id and count of readings, as numbers by id, so that a group has no more readings
    than that unless one person has, and no more than `most` people.
    """
    group: dict[str, int] = {}
    rows = 0
    for number, user_id, count in people:
        if group and (rows + count > readings or len(group) == most):
            yield group
            group, rows = {}, 0
        group[user_id] = number
        rows += count
    if group:
        yield group


def _batches(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    columns = [
        rows["user_id"].dictionary_encode(),
        rows["device_id"].dictionary_encode(),
        rows["time_us"].cast(READING_SCHEMA.field("time").type),
        rows["value"],
        rows["confidence"],
        rows["metric"].dictionary_encode(),
    ]
    batch = pa.record_batch(columns, schema=READING_SCHEMA)
    for first in range(0, batch.num_rows, EXPORT_BATCH_READINGS):
        yield batch.slice(first, EXPORT_BATCH_READINGS)
