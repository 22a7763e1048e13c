"""What holds for whatever is accepted, by other means than those that decide it."""

from __future__ import annotations

import io
import string
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from pulsebase.ingest import ReadingRules, validate
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import HEART_RATE, METRICS
from pulsebase.model.readings import ReadingBatch

_LETTERS = frozenset(string.ascii_letters + string.digits + "._:@+-")
_RULES = ReadingRules()


class Body(io.BytesIO):
    """A body as readers of bulk bodies see it."""

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay."""
        return self.getbuffer()[self.tell() : self.tell() + size].tobytes()

    def to_spool(self) -> Body:
        """The body for whoever keeps it on the disk."""
        return self

    @property
    def sent_bytes(self) -> int:
        """How much was sent: all of it."""
        return len(self.getbuffer())

    def check(self) -> None:
        """Nothing is too costly here: whoever changes inputs has limits of time of their own."""

    def decoder(self) -> AbstractContextManager[None]:
        """Nobody else wants a decoder."""
        return nullcontext()


def check_blocks(blocks: Iterable[Block]) -> None:
    """See that every row has one verdict, and that what is accepted is a reading."""
    for block in blocks:
        assert block.total == len(block.candidates) + len(block.errors), "a row has no verdict, or two"
        if not len(block.candidates):
            continue
        rows = block.candidates
        rules = _RULES if rows.metric == HEART_RATE.name else _RULES.of_metric(METRICS[rows.metric], "value")
        check_candidates(rows, rules)


def check_candidates(candidates: Candidates | Decoded, rules: ReadingRules = _RULES) -> Sequence[FieldError]:
    """See that every row is refused or a reading; the refusals."""
    verdict = validate(candidates, rules, 1)
    accepted = 0 if verdict.accepted is None else len(verdict.accepted)
    assert accepted + len(verdict.errors) == len(candidates), "a row has no verdict, or two"
    if verdict.accepted is not None:
        check_accepted(verdict.accepted)
    return verdict.errors


def check_accepted(batch: ReadingBatch) -> None:
    """See that all rows are readings within the rules."""
    for ids in (batch.users, batch.devices):
        assert 0 <= int(ids.codes.min()) <= int(ids.codes.max()) < len(ids.texts), "a code without an id"
        for text in ids.distinct():
            check_id(text)
    latest_us = time.time_ns() // 1000 + 600_000_000
    assert 0 <= int(batch.times_us.min()) <= int(batch.times_us.max()) <= latest_us, "a time that cannot be"
    assert 3_000 <= int(batch.values.min()) <= int(batch.values.max()) <= 22_000, "a value that cannot be"
    assert -1 <= int(batch.confidences.min()) <= int(batch.confidences.max()) <= 3, "a confidence that cannot be"


def check_id(text: str) -> None:
    """See that a text is an id."""
    assert 1 <= len(text) <= 128, "an id that is none"
    assert set(text) <= _LETTERS, "an id that is none"
