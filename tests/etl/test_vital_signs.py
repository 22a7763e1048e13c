"""What the synthetic people wear besides their wristbands, brought into a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from pulsebase.etl.extract.synthetic import (
    SyntheticBeatsExtractor,
    SyntheticStrapExtractor,
    SyntheticVitalSignExtractor,
)
from pulsebase.etl.load import ReadingLoader
from pulsebase.etl.pipeline import Pipeline
from pulsebase.etl.registry import extractors, transformers
from pulsebase.etl.transform.device import DeviceTransformer
from pulsebase.ingest import ReadingRules
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange
from pulsebase.sources.synthetic import DEMO_PEOPLE, samples_between
from tests.etl.conftest import START_US, World

ADA, BEN = DEMO_PEOPLE
OTHERS = [name for name in METRICS if name != "heart_rate"]


def extractors_at(world: World) -> Mapping[str, SyntheticVitalSignExtractor]:
    """One for each metric but heart rate, at the clock of the world."""
    made: dict[str, SyntheticVitalSignExtractor] = {}
    for metric in OTHERS:
        kind = extractors[metric]["synthetic"]
        assert issubclass(kind, SyntheticVitalSignExtractor)
        made[metric] = kind(DEMO_PEOPLE, lambda _: None, world.clock.now_us)
    return made


@pytest.fixture
def pipeline(world: World) -> Pipeline:
    """Of the synthetic people, at the clock of the world."""
    rules = ReadingRules(now_us=world.clock.now_us)
    return Pipeline(
        "synthetic",
        extractors_at(world),
        dict.fromkeys(OTHERS, DeviceTransformer()),
        {metric: ReadingLoader(world.ingestor, world.store, rules, metric=METRICS[metric]) for metric in OTHERS},
        world.state,
        batch_rows=5_000,
    )


def stored(world: World, metric: str) -> dict[tuple[str, int], float]:
    rows = world.store.stored().to_pylist()
    scale = METRICS[metric].scale
    return {(row["device_id"], row["time_us"]): row["value"] / scale for row in rows if row["metric"] == metric}


@pytest.mark.parametrize("metric", OTHERS)
def test_every_metric_is_stored_as_the_devices_have_it_and_again_changes_nothing(
    world: World, pipeline: Pipeline, metric: str
) -> None:
    within = TimeRange(START_US, world.clock.at_us)
    first = pipeline.run(ADA.user_id, metric, within, lookback_us=DAY_US).report
    assert (first.outcome, first.rejected) == ("done", 0)
    expected = {
        (piece.device_id, time_us): value
        for piece in samples_between(ADA, within, metric)
        for time_us, value in zip(piece.times_us.tolist(), piece.values.tolist(), strict=True)
    }
    assert first.written == first.read == len(expected) > 0
    assert stored(world, metric) == pytest.approx(expected)
    again = pipeline.run(ADA.user_id, metric, within, lookback_us=DAY_US).report
    assert (again.outcome, again.written) == ("done", 0)


def test_a_run_goes_on_where_the_last_one_ended(world: World, pipeline: Pipeline) -> None:
    metric = "body_temperature"
    pipeline.run(BEN.user_id, metric, TimeRange(START_US, world.clock.at_us), lookback_us=HOUR_US)
    before = stored(world, metric)
    world.clock.at_us += 2 * HOUR_US
    report = pipeline.run(BEN.user_id, metric, TimeRange(START_US, world.clock.at_us), lookback_us=HOUR_US).report
    assert report.outcome == "done"
    assert report.read < len(before)
    assert len(stored(world, metric)) == len(before) + 24


def test_devices_forget_what_is_old_and_beats_sooner(world: World) -> None:
    made = extractors_at(world)
    today = world.clock.at_us // DAY_US

    def has(metric: str, days_ago: int) -> bool:
        span = TimeRange((today - days_ago) * DAY_US, (today - days_ago + 1) * DAY_US)
        return any(len(page.times_us) for page in made[metric].extract(ADA.user_id, span))

    kept = SyntheticVitalSignExtractor.kept_days
    assert not any(has(metric, days_ago) for metric in OTHERS for days_ago in (kept + 1, kept + 200))
    assert has("respiratory_rate", kept) or has("respiratory_rate", kept - 1)
    beats = SyntheticBeatsExtractor.kept_days
    weeks = [range(first, first + 7) for first in (beats - 6, beats + 1)]
    assert [any(has("rr_interval", day) for day in week) for week in weeks] == [True, False]


def test_halves_of_an_interval_have_what_the_whole_has(world: World) -> None:
    made = extractors_at(world)

    def rows(span: TimeRange) -> Iterator[tuple[str, str, int, float]]:
        for metric, extractor in made.items():
            for page in extractor.extract(ADA.user_id, span):
                for time_us, value in zip(page.times_us.tolist(), page.values.tolist(), strict=True):
                    yield metric, page.device_id, time_us, value

    half_us = START_US + 5 * HOUR_US + 1
    halves = [*rows(TimeRange(START_US, half_us)), *rows(TimeRange(half_us, START_US + DAY_US))]
    assert sorted(halves) == sorted(rows(TimeRange(START_US, START_US + DAY_US)))


def test_who_wears_no_strap_has_no_other_heart_rate() -> None:
    strap = SyntheticStrapExtractor(DEMO_PEOPLE, lambda _: None)
    week = TimeRange(START_US, START_US + 7 * DAY_US)
    assert list(strap.extract(BEN.user_id, week)) == []
    assert sum(len(page.times_us) for page in strap.extract(ADA.user_id, week)) > 1_000
    assert all(np.diff(page.times_us).min() > 0 for page in strap.extract(ADA.user_id, week))


@pytest.mark.parametrize("kind", [SyntheticStrapExtractor, SyntheticBeatsExtractor])
def test_a_stranger_is_refused(kind: type[SyntheticStrapExtractor] | type[SyntheticBeatsExtractor]) -> None:
    with pytest.raises(UnknownUserError):
        next(iter(kind(DEMO_PEOPLE, lambda _: None).extract("nobody", TimeRange(START_US, START_US + DAY_US))))


def test_the_registry_has_a_transformer_for_each_extractor() -> None:
    assert {name: set(of) for name, of in extractors.items()} == {name: set(of) for name, of in transformers.items()}
