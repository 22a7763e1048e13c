"""One write on its way into the table `stage`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.stores.timescale import people
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import COPY_END, COPY_HEADER, POSTGRES_EPOCH_US
from pulsebase.stores.timescale.merge import lock_merges, lock_stage, take_in_at_once

#: Name, NumPy type and values of a field of every row; no values for null.
_Field = tuple[str, str, npt.ArrayLike | None]


@dataclass(frozen=True, slots=True)
class StageRows:
    """The rows of one write, each reading once. The lists of ids hold those alone that some row has."""

    users: Ids
    devices: Ids
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origins: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.times_us)

    @classmethod
    def of(cls, batches: Sequence[ReadingBatch]) -> StageRows:
        """The last row of each reading, by the places in the batches."""
        users, devices = _joined([batch.users for batch in batches]), _joined([batch.devices for batch in batches])
        times_us = np.concatenate([batch.times_us for batch in batches])
        origins = np.repeat(np.array([batch.origin for batch in batches], np.int32), [len(batch) for batch in batches])
        order = np.lexsort((times_us, devices.codes, users.codes))  # stable: the place decides among equals
        keys = [column[order] for column in (times_us, devices.codes, users.codes)]
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
        kept = order[is_last]
        return cls(
            users.take(kept),
            devices.take(kept),
            times_us[kept],
            np.concatenate([batch.values for batch in batches])[kept],
            np.concatenate([batch.confidences for batch in batches])[kept],
            origins[kept],
        )

    def write(self, connection: Connection) -> None:
        """Add the rows to the stage, but those before the horizon."""
        lock_stage(connection)
        rows = self._kept(connection)
        if not len(rows):
            return
        people.make_known(connection, rows.users.texts, rows._devices())
        (seq,) = connection.execute("SELECT nextval('pulsebase.stage_seq')", binary=True).fetchone() or (0,)
        _copy(connection, "pulsebase.stage", rows._blocks([("seq", ">i8", int(seq))]))

    def merge(self, connection: Connection) -> None:
        """Bring the rows where a merge would bring them, past the stage, but those before the horizon."""
        lock_merges(connection)
        rows = self._kept(connection)
        if not len(rows):
            return
        take_in_at_once(connection, lambda _: _copy(connection, "incoming", rows._blocks([])))
        people.make_known(connection, rows.users.texts, rows._devices())

    def _kept(self, connection: Connection) -> StageRows:
        """The rows that have not expired. The caller holds a lock without which the horizon does not move."""
        ((start_us,),) = connection.execute("SELECT start_at FROM pulsebase.horizon", binary=True).fetchall()
        if self.times_us.min(initial=start_us) >= start_us:
            return self
        rows = np.flatnonzero(self.times_us >= start_us)
        values, confidences, origins = self.values[rows], self.confidences[rows], self.origins[rows]
        return StageRows(
            self.users.take(rows), self.devices.take(rows), self.times_us[rows], values, confidences, origins
        )

    def _devices(self) -> list[tuple[str, str]]:
        count = len(self.devices.texts)
        pairs = np.unique(self.users.codes.astype(np.int64) * count + self.devices.codes).tolist()
        return [(self.users.texts[pair // count], self.devices.texts[pair % count]) for pair in pairs]

    def _blocks(self, before: Sequence[tuple[str, str, int]]) -> Iterator[bytes]:
        """The rows in COPY's binary form, in any order; `before` are fields that are the same in every row.

        Rows whose variable parts are of the same length are laid out the same, so a block is made of all of them at
        once.
        """
        users, user_sizes = _encoded(self.users)
        devices, device_sizes = _encoded(self.devices)
        shapes = np.stack([user_sizes, device_sizes, (self.confidences >= 0).astype(np.int64)], axis=1)
        distinct, shape_of = np.unique(shapes, axis=0, return_inverse=True)
        yield COPY_HEADER
        for number, (user_size, device_size, has_confidence) in enumerate(distinct):
            chosen = np.flatnonzero(shape_of.reshape(-1) == number)
            fields: list[_Field] = [
                *((name, kind, np.full(len(chosen), value)) for name, kind, value in before),
                ("user_id", f"S{user_size}", users[self.users.codes[chosen]]),
                ("device_id", f"S{device_size}", devices[self.devices.codes[chosen]]),
                ("timestamp", ">i8", self.times_us[chosen] - POSTGRES_EPOCH_US),
                ("v", ">i2", self.values[chosen]),
                ("confidence", ">i2", self.confidences[chosen] if has_confidence else None),
                ("origin", ">i4", self.origins[chosen]),
            ]
            yield _laid_out(fields, len(chosen))
        yield COPY_END


def _copy(connection: Connection, table: str, blocks: Iterator[bytes]) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        for block in blocks:
            copy.write(block)


def _joined(columns: Sequence[Ids]) -> Ids:
    """The columns one after the other."""
    numbers: dict[str, int] = {}
    codes = []
    for column in columns:
        used, places = np.unique(column.codes, return_inverse=True)
        texts = map(column.texts.__getitem__, used.tolist())
        codes.append(np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)[places])
    return Ids(np.concatenate(codes), list(numbers))


def _laid_out(fields: Sequence[_Field], count: int) -> bytes:
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind, column in fields:
        layout.append((f"{name} size", ">i4"))
        if column is not None:
            layout.append((name, kind))
    rows = np.zeros(count, np.dtype(layout))
    rows["fields"] = len(fields)
    for name, kind, column in fields:
        rows[f"{name} size"] = -1 if column is None else np.dtype(kind).itemsize
        if column is not None:
            rows[name] = column
    return rows.tobytes()


def _encoded(column: Ids) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
    """The texts as bytes, and the length of each row's."""
    encoded = [text.encode() for text in column.texts]
    sizes = np.array([len(text) for text in encoded], np.int64)
    return np.array(encoded, np.bytes_), sizes[column.codes]
