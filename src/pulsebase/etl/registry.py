"""What the pipeline is put together from: three maps, one entry a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.extract.synthetic import SyntheticHeartRateExtractor, SyntheticSummaryExtractor
from pulsebase.etl.load import HeartRateLoader, Loader, SummaryLoader
from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.heart_rate import HeartRateTransformer
from pulsebase.etl.transform.heart_rate_summary import SummaryTransformer
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.sources.synthetic import SyntheticPerson
from pulsebase.stores.contract import Reader, Registry

HEART_RATE = "heart_rate"
HEART_RATE_SUMMARY = "heart_rate_summary"


def extractors(people: Sequence[SyntheticPerson]) -> Mapping[str, Extractor[Any]]:
    """Ask the source; each page is what it said about a stretch of time."""
    return {
        HEART_RATE: SyntheticHeartRateExtractor(people),
        HEART_RATE_SUMMARY: SyntheticSummaryExtractor(people),
    }


def transformers() -> Mapping[str, Transformer[Any, Any]]:
    """Turn a page into rows of ours; pure."""
    return {
        HEART_RATE: HeartRateTransformer(),
        HEART_RATE_SUMMARY: SummaryTransformer(),
    }


def loaders(
    ingestor: Ingestor, reader: Reader, registry: Registry, rules: ReadingRules | None = None
) -> Mapping[str, Loader[Any]]:
    """Check and store the rows, and say up to where they are stored."""
    return {
        HEART_RATE: HeartRateLoader(ingestor, reader, rules or ReadingRules()),
        HEART_RATE_SUMMARY: SummaryLoader(registry, reader),
    }
