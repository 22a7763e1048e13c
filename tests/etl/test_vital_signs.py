"""What the synthetic people wear besides their wristbands, brought into a store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from pulsebase.etl import Pipeline, extractors, transformers
from pulsebase.etl.extract.synthetic import (
    BEATS_KEPT_DAYS,
    KEPT_DAYS,
    SyntheticStrapExtractor,
    SyntheticVitalSignsExtractor,
)
from pulsebase.etl.load_vital_signs import VitalSignsLoader
from pulsebase.etl.registry import VITAL_SIGNS
from pulsebase.etl.transform.vital_signs import VitalSignsTransformer
from pulsebase.ingest import ReadingRules
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange
from pulsebase.sources.synthetic import DEMO_PEOPLE, samples_between
from tests.etl.conftest import START_US, World

ADA, BEN = DEMO_PEOPLE
OTHERS = [name for name in METRICS if name != "heart_rate"]


@pytest.fixture
def pipeline(world: World) -> Pipeline:
    """Of the synthetic people, at the clock of the world."""
    return Pipeline(
        "synthetic",
        {VITAL_SIGNS: SyntheticVitalSignsExtractor(DEMO_PEOPLE, world.clock.now_us)},
        {VITAL_SIGNS: VitalSignsTransformer()},
        {VITAL_SIGNS: VitalSignsLoader(world.ingestor, world.store, ReadingRules(now_us=world.clock.now_us))},
        world.state,
        batch_rows=5_000,
    )


def stored(world: World, metric: str) -> dict[tuple[str, int], float]:
    rows = world.store.stored().to_pylist()
    scale = METRICS[metric].scale
    return {(row["device_id"], row["time_us"]): row["value"] / scale for row in rows if row["metric"] == metric}


def test_every_metric_is_stored_as_the_devices_have_it_and_again_changes_nothing(
    world: World, pipeline: Pipeline
) -> None:
    within = TimeRange(START_US, world.clock.at_us)
    first = pipeline.run(ADA.user_id, VITAL_SIGNS, within, lookback_us=DAY_US).report
    assert (first.outcome, first.rejected) == ("done", 0)
    assert first.written == first.read > 4_000
    for metric in OTHERS:
        expected = {
            (piece.device_id, time_us): value
            for piece in samples_between(ADA, within, metric)
            for time_us, value in zip(piece.times_us.tolist(), piece.values.tolist(), strict=True)
        }
        assert expected
        assert stored(world, metric) == pytest.approx(expected)
    again = pipeline.run(ADA.user_id, VITAL_SIGNS, within, lookback_us=DAY_US).report
    assert (again.outcome, again.written) == ("done", 0)
    assert 0 < again.unchanged < first.read  # it goes on a day before where it ended


def test_a_run_goes_on_where_the_last_one_ended(world: World, pipeline: Pipeline) -> None:
    pipeline.run(BEN.user_id, VITAL_SIGNS, TimeRange(START_US, world.clock.at_us), lookback_us=HOUR_US)
    before = stored(world, "body_temperature")
    world.clock.at_us += 2 * HOUR_US
    report = pipeline.run(BEN.user_id, VITAL_SIGNS, TimeRange(START_US, world.clock.at_us), lookback_us=HOUR_US).report
    assert report.outcome == "done"
    assert len(stored(world, "body_temperature")) == len(before) + 24


def test_devices_forget_what_is_old_and_beats_sooner(world: World) -> None:
    extractor = SyntheticVitalSignsExtractor(DEMO_PEOPLE, world.clock.now_us)
    today = world.clock.at_us // DAY_US

    def metrics_of(days_ago: int) -> set[str]:
        span = TimeRange((today - days_ago) * DAY_US, (today - days_ago + 1) * DAY_US)
        return {page.metric for page in extractor.extract(ADA.user_id, span)}

    assert not any(metrics_of(days_ago) for days_ago in (KEPT_DAYS + 1, KEPT_DAYS + 200))
    assert "respiratory_rate" in metrics_of(KEPT_DAYS) | metrics_of(KEPT_DAYS - 1)
    weeks = [
        set.union(*map(metrics_of, range(first, first + 7))) for first in (BEATS_KEPT_DAYS - 6, BEATS_KEPT_DAYS + 1)
    ]
    assert ["rr_interval" in week for week in weeks] == [True, False]


def test_halves_of_an_interval_have_what_the_whole_has(world: World) -> None:
    extractor = SyntheticVitalSignsExtractor(DEMO_PEOPLE, world.clock.now_us)

    def rows(span: TimeRange) -> Iterator[tuple[str, str, int, float]]:
        for page in extractor.extract(ADA.user_id, span):
            for time_us, value in zip(page.times_us.tolist(), page.values.tolist(), strict=True):
                yield page.metric, page.device_id, time_us, value

    half_us = START_US + 5 * HOUR_US + 1
    halves = [*rows(TimeRange(START_US, half_us)), *rows(TimeRange(half_us, START_US + DAY_US))]
    assert sorted(halves) == sorted(rows(TimeRange(START_US, START_US + DAY_US)))


def test_who_wears_no_strap_has_no_other_heart_rate() -> None:
    strap = SyntheticStrapExtractor(DEMO_PEOPLE)
    week = TimeRange(START_US, START_US + 7 * DAY_US)
    assert list(strap.extract(BEN.user_id, week)) == []
    assert sum(len(page.times_us) for page in strap.extract(ADA.user_id, week)) > 1_000
    assert all(np.diff(page.times_us).min() > 0 for page in strap.extract(ADA.user_id, week))


@pytest.mark.parametrize("kind", [SyntheticStrapExtractor, SyntheticVitalSignsExtractor])
def test_a_stranger_is_refused(kind: type[SyntheticStrapExtractor] | type[SyntheticVitalSignsExtractor]) -> None:
    with pytest.raises(UnknownUserError):
        next(iter(kind(DEMO_PEOPLE).extract("nobody", TimeRange(START_US, START_US + DAY_US))))


def test_the_registry_has_them() -> None:
    assert set(extractors[VITAL_SIGNS]) == set(transformers[VITAL_SIGNS])
