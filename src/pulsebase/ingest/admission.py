"""What of a turn's items may be written: checks against erased users, new people and devices, and their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.candidates import Decoded
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.device_limit import DeviceLimit
from pulsebase.ingest.newcomers import Arrivals
from pulsebase.ingest.queue_items import AnyOutcome, Outcome, QueuedOffer, QueuedSingles, QueuedWrite, QueueItem, Run
from pulsebase.ingest.validate import validate
from pulsebase.model.errors import FieldError, PulsebaseError, RejectedError
from pulsebase.model.readings import ReadingBatch
from pulsebase.stores.erased_users import ErasedUsers


def stores_nothing(item: QueueItem, outcome: AnyOutcome) -> bool:
    """Whether all of an item was refused."""
    if isinstance(item, QueuedSingles | QueuedWrite):
        return isinstance(outcome, Mapping | Sequence) and len(outcome) == len(item.readings)
    return isinstance(outcome, Outcome) and outcome.accepted == 0


def admitted(
    item: QueuedWrite | QueuedSingles, arrivals: Arrivals, devices: DeviceLimit
) -> tuple[ReadingBatch | None, Sequence[AnyOutcome]]:
    """Return the part of a write that may be written (None if nothing), and the outcome it gets then."""
    if isinstance(item, QueuedWrite):
        error = arrivals.admit(item.readings.users, item.allowance)
        if error is not None:
            return None, [error]
        beyond = devices.beyond(item.readings)
        if beyond is None:
            return item.readings, [()]
        errors = [FieldError("device_id", devices.reason, row) for row in np.flatnonzero(beyond).tolist()]
        return _rest(item.readings, beyond), [errors]
    users, beyond = item.readings.users, devices.beyond(item.readings)
    if beyond is None and not arrivals.among(users):
        return item.readings, [{}]
    refused: dict[int, PulsebaseError] = {}
    for row, allowance in enumerate(item.allowances):
        if beyond is not None and beyond[row]:
            refused[row] = RejectedError.of("device_id", devices.reason)
            continue
        error = arrivals.admit(users.take(np.array([row])), allowance)
        if error is not None:
            refused[row] = error
    kept = np.array([row for row in range(len(users)) if row not in refused], np.intp)
    return (item.readings.take(kept) if len(kept) else None), [refused]


def offers_admitted(
    run: Sequence[QueuedOffer], arrivals: Arrivals, erased_users: ErasedUsers, devices: DeviceLimit
) -> Iterator[tuple[ReadingBatch | None, Sequence[AnyOutcome]]]:
    """The batches of a run, with the outcomes of its offers. It is one, unless somebody new is in it."""
    batch, outcomes = _judged(run, erased_users, devices)
    if batch is None or not arrivals.among(batch.users):
        yield batch, outcomes
    elif len(run) == 1:
        error = arrivals.admit(batch.users, run[0].allowance)
        yield (batch, outcomes) if error is None else (None, [error])
    else:
        for offer in run:
            yield from offers_admitted([offer], arrivals, erased_users, devices)


def runs_of(turn: Sequence[QueueItem]) -> Iterator[Run]:
    """Yield the items of a turn in order; neighbouring offers that can be checked in one pass come as one list."""
    run: list[QueuedOffer] = []
    for item in turn:
        if run and not (isinstance(item, QueuedOffer) and item.goes_with(run[0])):
            yield run
            run = []
        if isinstance(item, QueuedOffer):
            run.append(item)
        else:
            yield item
    if run:
        yield run


def _rest(batch: ReadingBatch, refused: npt.NDArray[np.bool_]) -> ReadingBatch | None:
    """The rows of a batch that are not refused; None if all are."""
    return None if refused.all() else batch.take(np.flatnonzero(~refused))


def _judged(
    run: Sequence[QueuedOffer], erased_users: ErasedUsers, devices: DeviceLimit
) -> tuple[ReadingBatch | None, list[Outcome]]:
    """What of a run may be stored, as one batch, and the outcome of each offer once that is stored."""
    first = run[0]
    if len(run) == 1:
        verdict = first.judged
        if verdict is None or (verdict.accepted and erased_users.among(verdict.accepted.users) is not None):
            verdict = validate(first.readings, first.rules, first.origin)
    else:
        parts = [offer.readings for offer in run if isinstance(offer.readings, Decoded)]
        verdict = validate(Decoded.joined(parts), first.rules, first.origin)
    batch, refusals = verdict.accepted, verdict.refusals
    beyond = None if batch is None else devices.beyond(batch)
    if batch is not None and beyond is not None:
        batch = _rest(batch, beyond)
        refusals.add_rows(refusals.left()[beyond], "device_id", devices.reason)
    lengths = [len(offer.readings) for offer in run]
    errors = [refusals.errors()] if len(run) == 1 else refusals.errors_by_part(lengths)
    return batch, [Outcome(size - len(of), of) for size, of in zip(lengths, errors, strict=True)]


def count_outcomes(turn: Sequence[QueueItem], outcomes: Sequence[AnyOutcome], failure: BaseException | None) -> None:
    """Count what became of the offers of a turn, those of a source together, before any of them is told."""
    accepted: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = {}
    for item, outcome in zip(turn, outcomes, strict=True):
        if not (isinstance(item, QueuedOffer) and isinstance(outcome, Outcome)):
            continue
        if failure is None or stores_nothing(item, outcome):
            accepted[item.source] += outcome.accepted
            if outcome.errors:
                refused.setdefault(item.source, Counter()).update(error.field for error in outcome.errors)
    for source, readings in accepted.items():
        count_readings(source, readings, refused.get(source, {}))
