"""Turn the answers of the Polar AccessLink API into readings."""

from __future__ import annotations

from collections.abc import Callable

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.nightly import NightsPage, by_local_time, by_night
from pulsebase.ingest.candidates import Candidates
from pulsebase.sources.polar_shapes import PolarDay, PolarRecharge


class PolarHeartRateTransformer(Transformer[NightsPage[PolarDay], Candidates]):
    """Heart rates at local times. 0 is none. The source states no confidence."""

    def transform(self, page: NightsPage[PolarDay]) -> Candidates:
        return by_local_time(
            page,
            (
                (f"{day.date}T{sample.sample_time}", sample.heart_rate)
                for day in page.nights
                for sample in day.heart_rate_samples
                if sample.heart_rate
            ),
        )


class PolarRechargeTransformer(Transformer[NightsPage[PolarRecharge], Candidates]):
    """A value a night. 0 is none."""

    def __init__(self, value_of: Callable[[PolarRecharge], float | None]) -> None:
        self._value_of = value_of

    def transform(self, page: NightsPage[PolarRecharge]) -> Candidates:
        return by_night(page, ((night.date, self._value_of(night) or None) for night in page.nights))


def variability(night: PolarRecharge) -> float | None:
    """Return the average RMSSD, in milliseconds."""
    return night.heart_rate_variability_avg


def breathing(night: PolarRecharge) -> float | None:
    """Return the average breaths a minute."""
    return night.breathing_rate_avg
