"""One write on its way into the table `stage`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.stores.timescale import people
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import COPY_END, COPY_HEADER, POSTGRES_EPOCH_US
from pulsebase.stores.timescale.merge import lock_stage

#: Name, NumPy type and values of a field of every row; no values for null.
_Field = tuple[str, str, npt.ArrayLike | None]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: row `i` is `texts[codes[i]]`."""

    texts: Sequence[str]
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class StageRows:
    """The rows of one write, each reading once."""

    user_id: Texts
    device_id: Texts
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origins: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.times_us)

    @classmethod
    def of(cls, table: pa.Table, origins: npt.NDArray[np.int32]) -> StageRows:
        """The last row of each reading, by the place in the table."""
        table = table.unify_dictionaries().combine_chunks()
        users, devices = (_texts(table[name].chunk(0)) for name in ("user_id", "device_id"))
        times_us = table["time"].chunk(0).view(pa.int64()).to_numpy()
        order = np.lexsort((times_us, devices.codes, users.codes))  # stable: the place decides among equals
        keys = [column[order] for column in (times_us, devices.codes, users.codes)]
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
        kept = order[is_last]
        confidences = table["confidence"].chunk(0).fill_null(-1).to_numpy()
        return cls(
            Texts(users.texts, users.codes[kept]),
            Texts(devices.texts, devices.codes[kept]),
            times_us[kept],
            table["value"].chunk(0).to_numpy()[kept],
            confidences[kept],
            origins[kept],
        )

    def write(self, connection: Connection) -> None:
        """Add the rows to the stage, but those before the horizon."""
        lock_stage(connection)
        (seq, horizon_us) = connection.execute(
            "SELECT nextval('pulsebase.stage_seq'), start_at FROM pulsebase.horizon", binary=True
        ).fetchone() or (0, 0)
        if self.times_us.min(initial=horizon_us) < horizon_us:
            self._since(horizon_us)._add(connection, seq)
        else:
            self._add(connection, seq)

    def _since(self, start_us: int) -> StageRows:
        kept = self.times_us >= start_us
        users, devices = (Texts(ids.texts, ids.codes[kept]) for ids in (self.user_id, self.device_id))
        values, confidences, origins = self.values[kept], self.confidences[kept], self.origins[kept]
        return StageRows(users, devices, self.times_us[kept], values, confidences, origins)

    def _add(self, connection: Connection, seq: int) -> None:
        if len(self) == 0:
            return
        pairs = np.unique(np.stack([self.user_id.codes, self.device_id.codes]), axis=1).T
        named = [(self.user_id.texts[user], self.device_id.texts[device]) for user, device in pairs]
        people.make_known(connection, [user_id for user_id, _ in named], named)
        with connection.cursor().copy("COPY pulsebase.stage FROM STDIN (FORMAT binary)") as copy:
            for block in self._blocks(seq):
                copy.write(block)

    def _blocks(self, seq: int) -> Iterator[bytes]:
        """The rows in COPY's binary form, in any order.

        Rows whose variable parts are of the same length are laid out the same, so a block is made of all of them at
        once.
        """
        users, user_sizes = _encoded(self.user_id)
        devices, device_sizes = _encoded(self.device_id)
        shapes = np.stack([user_sizes, device_sizes, (self.confidences >= 0).astype(np.int64)], axis=1)
        distinct, shape_of = np.unique(shapes, axis=0, return_inverse=True)
        yield COPY_HEADER
        for number, (user_size, device_size, has_confidence) in enumerate(distinct):
            chosen = np.flatnonzero(shape_of.reshape(-1) == number)
            fields: list[_Field] = [
                ("seq", ">i8", np.full(len(chosen), seq)),
                ("user_id", f"S{user_size}", users[self.user_id.codes[chosen]]),
                ("device_id", f"S{device_size}", devices[self.device_id.codes[chosen]]),
                ("timestamp", ">i8", self.times_us[chosen] - POSTGRES_EPOCH_US),
                ("v", ">i2", self.values[chosen]),
                ("confidence", ">i2", self.confidences[chosen] if has_confidence else None),
                ("origin", ">i4", self.origins[chosen]),
            ]
            yield _laid_out(fields, len(chosen))
        yield COPY_END


def _texts(column: pa.DictionaryArray) -> Texts:
    codes: npt.NDArray[np.int32] = column.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(column.dictionary.to_pylist(), codes)


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


def _encoded(column: Texts) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
    """The texts as bytes, and the length of each row's."""
    encoded = [text.encode() for text in column.texts]
    sizes = np.array([len(text) for text in encoded], np.int64)
    return np.array(encoded, np.bytes_), sizes[column.codes]
