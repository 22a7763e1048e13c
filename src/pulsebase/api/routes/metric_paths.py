"""Find the metric that a path names."""

from __future__ import annotations

from pulsebase.api.border.problems import ProblemError
from pulsebase.model.metrics import MetricSpec, UnknownMetricError, metric_named


def metric_in_path(text: str) -> MetricSpec:
    """Return the metric that a path names, with hyphens or underscores.

    Raises:
        ProblemError: there is no such metric, so there is no such route.
    """
    try:
        return metric_named(text)
    except UnknownMetricError as error:
        raise ProblemError("not-found", f"metric: {error}") from None
