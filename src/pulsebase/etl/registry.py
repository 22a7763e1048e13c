"""The parts of the pipelines: extractors, transformers and loaders by data set, then source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.extract.fitbit import FitbitHeartRateExtractor, FitbitSummaryExtractor
from pulsebase.etl.extract.google import GoogleHeartRateExtractor, GoogleSummaryExtractor
from pulsebase.etl.extract.synthetic import SyntheticStrapExtractor, SyntheticVitalSignsExtractor
from pulsebase.etl.load import HeartRateLoader, Loader, SummaryLoader
from pulsebase.etl.load_vital_signs import VitalSignsLoader
from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.fitbit import FitbitHeartRateTransformer, FitbitSummaryTransformer
from pulsebase.etl.transform.google import GoogleHeartRateTransformer, GoogleSummaryTransformer
from pulsebase.etl.transform.heart_rate import HeartRateTransformer
from pulsebase.etl.transform.vital_signs import VitalSignsTransformer
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.stores.contract import Reader, Registry

HEART_RATE = "heart_rate"
HEART_RATE_SUMMARY = "heart_rate_summary"
#: Metrics other than heart rate, together.
VITAL_SIGNS = "vital_signs"

#: Fetch pages from a source, each for an interval of time. An extractor is built with what it asks: the clients of
#: people, or the synthetic people themselves.
extractors: Mapping[str, Mapping[str, type[Extractor[Any]]]] = {
    HEART_RATE: {
        "fitbit": FitbitHeartRateExtractor,
        "google": GoogleHeartRateExtractor,
        "synthetic": SyntheticStrapExtractor,
    },
    HEART_RATE_SUMMARY: {
        "fitbit": FitbitSummaryExtractor,
        "google": GoogleSummaryExtractor,
    },
    VITAL_SIGNS: {
        "synthetic": SyntheticVitalSignsExtractor,
    },
}

#: Turn a page into our rows, without side effects.
transformers: Mapping[str, Mapping[str, Transformer[Any, Any]]] = {
    HEART_RATE: {
        "fitbit": FitbitHeartRateTransformer(),
        "google": GoogleHeartRateTransformer(),
        "synthetic": HeartRateTransformer(),
    },
    HEART_RATE_SUMMARY: {
        "fitbit": FitbitSummaryTransformer(),
        "google": GoogleSummaryTransformer(),
    },
    VITAL_SIGNS: {
        "synthetic": VitalSignsTransformer(),
    },
}


def loaders(
    ingestor: Ingestor, reader: Reader, registry: Registry, rules: ReadingRules | None = None, *, upsert: bool = True
) -> Mapping[str, Loader[Any]]:
    """Return the loaders, which check and store rows from any source."""
    return {
        HEART_RATE: HeartRateLoader(ingestor, reader, rules or ReadingRules(), upsert=upsert),
        VITAL_SIGNS: VitalSignsLoader(ingestor, reader, rules or ReadingRules(), upsert=upsert),
        HEART_RATE_SUMMARY: SummaryLoader(registry, reader, upsert=upsert),
    }
