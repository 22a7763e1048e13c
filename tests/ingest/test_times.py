"""Times are read as columns; each comes out as it would alone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.ingest.times import read_lines, read_times
from pulsebase.model.timerange import parse_reading_time

MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=45))])
WRITTEN = st.builds(
    lambda at, zone, spec: at.replace(tzinfo=zone).isoformat(timespec=spec),
    MOMENTS,
    ZONES,
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
).flatmap(lambda text: st.sampled_from([text, text.replace("+00:00", "Z"), text.replace("T", " ")]))
#: Texts of the usual forms in which anything may stand where a digit or a sign has to.
DAMAGED = st.builds(
    lambda text, place, letter: text[:place] + letter + text[place + 1 :],
    WRITTEN,
    st.integers(0, 31),
    st.sampled_from("0123456789:-T.Z+?x é٣\x00"),
)
TEXTS = st.one_of(WRITTEN, DAMAGED, st.text(max_size=33))


def alone(text: str) -> tuple[int, str]:
    try:
        return parse_reading_time(text), ""
    except (ValueError, OverflowError) as error:
        return 0, str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(TEXTS, max_size=12))
def test_a_column_is_read_as_each_of_its_texts_would_be_alone(texts: list[str]) -> None:
    times_us, unread = read_times(texts)
    expected = [alone(text) for text in texts]
    assert times_us.tolist() == [time_us for time_us, _ in expected]
    assert unread == [(row, reason) for row, (_, reason) in enumerate(expected) if reason]
    lines = "\n".join(texts)
    if lines.count("\n") == len(texts) - 1:
        assert (read_lines(lines, len(texts))[0].tolist(), read_lines(lines, len(texts))[1]) == (
            times_us.tolist(),
            unread,
        )


def test_lines_of_other_lengths_are_not_taken_for_the_lines_they_add_up_to() -> None:
    texts = ["2024-01-15T10:00:00", "Z2024-01-15T10:00:01Z", "2024-01-15T10:00:02Z"]
    times_us, unread = read_lines("\n".join(texts), 3)
    assert times_us.tolist() == [alone(text)[0] for text in texts]
    assert [row for row, _ in unread] == [1]


@pytest.mark.parametrize("fraction", ["", ".123", ".123456"])
@pytest.mark.parametrize("zone", ["", "Z", "+00:00", "+01:00"])
def test_every_day_of_four_centuries_and_every_end_of_a_month_is_read(fraction: str, zone: str) -> None:
    days = [
        f"{year:04}-{month:02}-{day:02}" for year in range(1900, 2301, 50) for month in range(14) for day in range(33)
    ]
    texts = [f"{day}T23:59:59{fraction}{zone}" for day in days]
    times_us, unread = read_times(texts)
    expected = [alone(text) for text in texts]
    assert times_us.tolist() == [time_us for time_us, _ in expected]
    assert unread == [(row, reason) for row, (_, reason) in enumerate(expected) if reason]
