"""What is worked out from the stored readings of one person, within the limits of questions."""

from __future__ import annotations

from pulsebase.query.person_days import DaysQuestion, RowsHeld
from pulsebase.query.plan import QueryLimits
from pulsebase.query.resting import RestingAnswer, resting_heart_rates
from pulsebase.query.variability import VariabilityAnswer, Window, heart_rate_variability
from pulsebase.stores.contract import Reader


class DerivedService:
    """Answers what a single statement to a store cannot."""

    def __init__(self, reader: Reader, limits: QueryLimits) -> None:
        self._reader, self._limits = reader, limits

    def variability(self, question: DaysQuestion, window: Window, rows: RowsHeld = lambda _: None) -> VariabilityAnswer:
        """See `heart_rate_variability`."""
        return heart_rate_variability(self._reader, question, window, self._limits, rows)

    def resting(self, question: DaysQuestion, rows: RowsHeld = lambda _: None) -> RestingAnswer:
        """See `resting_heart_rates`."""
        return resting_heart_rates(self._reader, question, self._limits, rows)
