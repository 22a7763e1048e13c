"""The fast and the slow way through a body come to the same."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.json_bodies import decode_batch, decode_single
from pulsebase.ingest import Candidates, Decoded, ReadingRules, validate
from pulsebase.ingest.items import columns_of_parsed
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.timerange import to_us

NOW = datetime(2025, 6, 1, tzinfo=UTC)
RULES = ReadingRules(now_us=lambda: to_us(NOW))

#: A stored row: user, device, time, value, confidence.
Row = tuple[str, str, datetime, int, int | None]

TIMES = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2025, 6, 2)).map(
        lambda at: f"{at.replace(microsecond=0).isoformat()}Z"
    ),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.isoformat()),
    st.datetimes(datetime(1969, 12, 31), datetime(1970, 1, 2)).map(lambda at: f"{at.isoformat()}+01:00"),
    st.sampled_from(["0000-01-01T00:00:00Z", "2024-01-15T10:00:00Z2", "024-01-15T10:00:00Z", "2024-02-30T10:00:00Z"]),
    st.text(max_size=22),
)
IDS = st.one_of(
    st.sampled_from(["ann", "bob", "device_a", "device_b"]),
    st.integers(-5, 5),
    st.text(max_size=5),
    st.sampled_from(["", "a" * 128, "a" * 129, "a b", "\ud800"]),
)
VALUES = st.one_of(st.floats(25, 225), st.integers(25, 225), st.floats(), st.integers())
JUNK = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.just([]), st.just({}), st.floats(), st.integers())
CONFIDENCES = st.one_of(st.none(), st.integers(0, 3), st.integers(-300, 300))


def _item(usual: bool) -> st.SearchStrategy[Any]:
    def of(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return strategy if usual else st.one_of(strategy, JUNK)

    fields = {"device_id": of(IDS), "user_id": of(IDS), "timestamp": of(TIMES), "heart_rate": of(VALUES)}
    return st.fixed_dictionaries(fields, optional={"confidence": of(CONFIDENCES)})


#: Readings that msgspec takes as they are, and lists where some are broken in any way.
ITEMS = st.one_of(
    st.lists(_item(usual=True), min_size=1, max_size=6),
    st.lists(
        st.one_of(
            _item(usual=True),
            _item(usual=False),
            st.dictionaries(st.sampled_from(["user_id", "heart_rate", "x", "\udc00"]), JUNK),
            JUNK,
        ),
        min_size=1,
        max_size=6,
    ),
)


def _judged(candidates: Candidates | Decoded, errors: list[FieldError]) -> tuple[list[Row], list[FieldError]]:
    verdict = validate(candidates, RULES, 1)
    rows = [] if verdict.accepted is None else [tuple(row.values()) for row in verdict.accepted.table.to_pylist()]
    return rows, sorted([*errors, *verdict.errors], key=lambda error: error.index or 0)


def _alone(item: Any) -> tuple[list[Row], list[FieldError]]:
    try:
        return _judged(columns_of_parsed([decode_single(json.dumps(item).encode())]), [])
    except RejectedError as error:
        return [], list(error.errors)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ITEMS)
def test_a_batch_is_judged_as_each_of_its_readings_would_be_alone(items: list[Any]) -> None:
    candidates, errors, total = decode_batch(json.dumps({"readings": items}).encode())
    assert total == len(items)
    rows, refusals = _judged(candidates, errors) if len(candidates) else ([], errors)
    expected_rows: list[Row] = []
    expected_refusals: list[FieldError] = []
    for index, item in enumerate(items):
        kept, refused = _alone(item)
        expected_rows += kept
        expected_refusals += [FieldError(error.field, error.reason, index) for error in refused]
        assert len(kept) + len(refused) == 1
    assert rows == expected_rows
    assert refusals == expected_refusals


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes_are_either_read_or_refused(body: bytes) -> None:
    for decode in (decode_single, decode_batch):
        try:
            decode(body)
        except (ProblemError, RejectedError) as error:
            str(error).encode()
