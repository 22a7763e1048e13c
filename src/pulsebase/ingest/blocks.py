"""Blocks: large bodies and files of readings are read piece by piece, so that none has to be held in memory whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, PulsebaseError, RejectedError
from pulsebase.model.metrics import HEART_RATE, MetricSpec

_NO_METRIC = "is not said of these values; add a column metric, or name the metric with --metric, over HTTP with metric"

#: Readings of one block, which is one commit.
BLOCK_READINGS = 100_000


@dataclass(frozen=True, slots=True)
class ReadingFields:
    """The names of a reading's fields or columns, for a form that has its value under `value`.

    Attributes:
        names_metric: whether each reading names its metric, in the field `metric`.
        metric: the metric of all of them, where it is not heart rate and nothing else says it.
    """

    value: str = HEART_RATE.name
    names_metric: bool = False
    metric: str | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Those that every reading has."""
        named = ("metric",) if self.names_metric else ()
        return ("user_id", "device_id", *named, "timestamp", self.value)

    @property
    def all(self) -> tuple[str, ...]:
        """Every one."""
        return (*self.required, "confidence")


#: Readings of heart rate name their value after it, as they always did. Those of other metrics have a `value`.
HEART_RATE_FIELDS = ReadingFields()
VALUE_FIELDS = ReadingFields("value")
METRIC_FIELDS = ReadingFields("value", names_metric=True)
COLUMNS = HEART_RATE_FIELDS.all


def fields_of(metric: MetricSpec) -> ReadingFields:
    """Return the names of the fields of a reading of this metric, where the metric is known from elsewhere."""
    return HEART_RATE_FIELDS if metric is HEART_RATE else VALUE_FIELDS


#: Chooses the form of a file's readings by the names of its columns, or of the fields of its first reading.
ChooseFields = Callable[[Sequence[str]], ReadingFields]


def file_fields(names: Sequence[str], metric: str | None) -> ReadingFields:
    """Return the form of a file whose readings have these fields. `metric` is the one of a file that names none.

    Raises:
        RejectedError: the readings have a `value`, and nothing says of which metric.
    """
    if HEART_RATE.name in names or "value" not in names:
        return HEART_RATE_FIELDS
    if "metric" in names:
        return METRIC_FIELDS
    if metric is None:
        raise RejectedError.of("metric", _NO_METRIC)
    return ReadingFields("value", metric=metric)


@dataclass(frozen=True, slots=True)
class Block:
    """Some readings of a body or file: those that could be read, and the errors of those that could not.

    `total` counts both. The positions of the candidates and the `index` of each error count readings from the start of
    the body or file. `passed_over` names columns that are ignored; only the first block names them.
    """

    candidates: Candidates
    errors: list[FieldError]
    total: int
    passed_over: Sequence[str] = ()


class MalformedError(PulsebaseError):
    """The rest of a body or file cannot be read; the message says why. What was read before it stays valid."""


class TooLargeError(MalformedError):
    """A piece of it unpacks to more than may be held in memory, or the whole to more than may be read."""
