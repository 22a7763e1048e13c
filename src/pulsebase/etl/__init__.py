"""Extract → transform → load: how readings come in from sources that are asked, instead of devices that push."""

from pulsebase.etl.pipeline import Pipeline
from pulsebase.etl.registry import (
    HEART_RATE,
    HEART_RATE_SUMMARY,
    chosen_data_sets,
    extractors,
    loaders,
    transformers,
)
from pulsebase.etl.scheduler import Scheduler
from pulsebase.etl.state import RunReport

__all__ = [
    "HEART_RATE",
    "HEART_RATE_SUMMARY",
    "Pipeline",
    "RunReport",
    "Scheduler",
    "chosen_data_sets",
    "extractors",
    "loaders",
    "transformers",
]
