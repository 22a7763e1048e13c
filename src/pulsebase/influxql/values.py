"""Columns of rows and of groups, where some may have no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers, and where there are any. `whole` says that they are counts."""

    numbers: F64
    there: Mask
    whole: bool = False

    @classmethod
    def of(cls, numbers: npt.ArrayLike) -> Values:
        """Return numbers that are all there."""
        found = np.asarray(numbers, np.float64)
        return cls(found, np.ones(len(found), np.bool_))

    @classmethod
    def missing(cls, count: int) -> Values:
        """Return no numbers in so many places."""
        return cls(np.zeros(count), np.zeros(count, np.bool_))

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, places: npt.NDArray[np.intp] | Mask) -> Values:
        """Return those in these places."""
        return replace(self, numbers=self.numbers[places], there=self.there[places])

    def listed(self) -> list[float | int | None]:
        """Return them as answers show them."""
        numbers = self.numbers.astype(np.int64).tolist() if self.whole else self.numbers.tolist()
        if self.there.all():
            return list(numbers)
        return [number if there else None for number, there in zip(numbers, self.there.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class Points:
    """What an expression comes to at times, ascending."""

    times_us: I64
    values: Values

    def present(self) -> Points:
        """Return those that have a value."""
        if self.values.there.all():
            return self
        return Points(self.times_us[self.values.there], self.values.take(self.values.there))


@dataclass(frozen=True, slots=True)
class ReadingRows:
    """Rows of one or more series, by time. Tags are texts, empty where a row has none."""

    times_us: I64
    fields: Mapping[str, Values]
    tags: Mapping[str, Texts] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times_us)

    def take(self, places: npt.NDArray[np.intp] | Mask) -> ReadingRows:
        """Return the rows in these places."""
        return ReadingRows(
            self.times_us[places],
            {name: values.take(places) for name, values in self.fields.items()},
            {name: texts[places] for name, texts in self.tags.items()},
        )


def joined_rows(parts: list[ReadingRows]) -> ReadingRows:
    """Return the rows of all parts by time; of equal times those of the first part come first."""
    if len(parts) == 1:
        return parts[0]
    fields: dict[str, Values] = {}
    for name in dict.fromkeys(name for part in parts for name in part.fields):
        columns = [part.fields.get(name) or Values.missing(len(part)) for part in parts]
        fields[name] = Values(
            np.concatenate([each.numbers for each in columns]),
            np.concatenate([each.there for each in columns]),
            all(each.whole for each in columns),
        )
    tags = {}
    for name in dict.fromkeys(name for part in parts for name in part.tags):
        tags[name] = np.concatenate([part.tags.get(name, same_text("", len(part))) for part in parts])
    times_us = np.concatenate([part.times_us for part in parts]) if parts else np.empty(0, np.int64)
    rows = ReadingRows(times_us, fields, tags)
    return rows.take(np.argsort(times_us, kind="stable"))


def same_text(text: str, count: int) -> Texts:
    """Return a column of one text."""
    found = np.empty(count, np.object_)
    found[:] = text
    return found
