"""`cohort` and `top-hours`, with a server on the store and without one."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.files import ISO_ROWS, US_ROWS
from tests.support.process import Place

DAY = ("2016-04-12", "2016-04-12")


def asked(place: Place, *arguments: str) -> Any:
    done = place.run(*arguments, "--format", "json")
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def averages() -> dict[str, float]:
    """What the day's average of each person is, from the files' rows."""
    rows = {"7": [bpm for _, bpm in ISO_ROWS], "8": [bpm for _, bpm in US_ROWS]}
    return {user_id: sum(bpms) / len(bpms) for user_id, bpms in rows.items()}


def test_a_cohort_is_shown_as_a_table(stocked: Place) -> None:
    done = stocked.run("cohort", *DAY, "--min-avg-heart-rate", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(text in done.stdout for text in ("user_id", "coverage", *map(str, averages().values()), "2 people"))
    one = stocked.run("cohort", *DAY, "--min-avg-heart-rate", "1", "--limit", "1")
    assert "2 people, the first 1" in one.stdout


def test_a_cohort_as_json_has_the_figures(stocked: Place) -> None:
    expected = averages()
    answer = asked(stocked, "cohort", *DAY, "--min-avg-heart-rate", "1")
    assert {member["user_id"]: member["avg"] for member in answer["data"]} == expected
    highest = max(expected, key=lambda user_id: expected[user_id])
    between = str(sum(expected.values()) / 2)
    answer = asked(stocked, "cohort", *DAY, "--min-avg-heart-rate", between, "--min-coverage", "0.0001")
    assert [member["user_id"] for member in answer["data"]] == [highest]
    for narrowed in (("--min-age", "24"), ("--gender", "male", "--gender", "female"), ("--min-coverage", "1")):
        assert asked(stocked, "cohort", *DAY, "--min-avg-heart-rate", "1", *narrowed)["count"] == 0


def test_top_hours_are_shown_as_a_table_and_as_json(stocked: Place) -> None:
    hours: dict[str, list[float]] = {}
    for at, bpm in US_ROWS:
        hours.setdefault(f"{at:%Y-%m-%dT%H}:00:00Z", []).append(bpm)
    best = {hour: sum(bpms) / len(bpms) for hour, bpms in hours.items()}
    answer = asked(stocked, "top-hours", "8", *DAY)
    assert {row["hour"]: row["avg"] for row in answer["data"]} == best
    done = stocked.run("top-hours", "8", *DAY, "--limit", "1", "--tz", "UTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(max(best.values())) in done.stdout


def test_another_metric_is_asked_for_by_its_name(stocked: Place) -> None:
    assert asked(stocked, "cohort", *DAY, "--metric", "spo2")["count"] == 0
    assert asked(stocked, "top-hours", "8", *DAY, "--metric", "rr-interval")["data"] == []
    highest = max(averages().values())
    most = asked(stocked, "cohort", *DAY, "--max-avg", str(highest - 0.001))
    assert [member["avg"] for member in most["data"]] == [min(averages().values())]
    assert "min_avg_heart_rate" in stocked.refusal("cohort", *DAY)
    assert "do you mean oxygen_saturation" in stocked.refusal("cohort", *DAY, "--metric", "SPO2")
    assert "heart rate alone" in stocked.refusal("cohort", *DAY, "--metric", "spo2", "--min-avg-heart-rate", "60")


def test_what_cannot_be_answered_is_refused_in_one_line(stocked: Place) -> None:
    assert "min_avg_heart_rate" in stocked.refusal("cohort", *DAY, "--min-avg-heart-rate", "nan")
    assert "gender" in stocked.refusal("cohort", *DAY, "--min-avg-heart-rate", "1", "--gender", "robot")
    assert "--format" in stocked.refusal("cohort", *DAY, "--min-avg-heart-rate", "1", "--format", "csv")
    assert stocked.refusal("top-hours", "nobody", *DAY) == "pulsebase: nobody of that id is known"
    assert "user_id" in stocked.refusal("top-hours", "a/b", *DAY)
    assert "end" in stocked.refusal("top-hours", "8", "2016-04-12", "2016-04-11")
