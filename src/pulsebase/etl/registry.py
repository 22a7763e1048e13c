"""The parts of the pipelines: extractors, transformers and loaders by data set, then source.

A data set of readings has the name of its metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulsebase.etl.extract import fitbit as from_fitbit
from pulsebase.etl.extract import synthetic as from_synthetic
from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.extract.google import GoogleHeartRateExtractor, GoogleSummaryExtractor
from pulsebase.etl.load import Loader, ReadingLoader, SummaryLoader
from pulsebase.etl.transform import fitbit as of_fitbit
from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.device import DeviceTransformer
from pulsebase.etl.transform.google import GoogleHeartRateTransformer, GoogleSummaryTransformer
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.metrics import METRICS
from pulsebase.stores.contract import Reader, Registry

HEART_RATE = "heart_rate"
HEART_RATE_SUMMARY = "heart_rate_summary"

#: Fetch pages from a source, each for an interval of time. An extractor is built with what it asks (the clients of
#: people, or the synthetic people themselves) and with what knows their time zones.
extractors: Mapping[str, Mapping[str, type[Extractor[Any]]]] = {
    HEART_RATE: {
        "fitbit": from_fitbit.FitbitHeartRateExtractor,
        "google": GoogleHeartRateExtractor,
        "synthetic": from_synthetic.SyntheticStrapExtractor,
    },
    HEART_RATE_SUMMARY: {"fitbit": from_fitbit.FitbitSummaryExtractor, "google": GoogleSummaryExtractor},
    "oxygen_saturation": {
        "fitbit": from_fitbit.FitbitOxygenExtractor,
        "synthetic": from_synthetic.SyntheticOxygenExtractor,
    },
    "respiratory_rate": {
        "fitbit": from_fitbit.FitbitBreathingExtractor,
        "synthetic": from_synthetic.SyntheticBreathingExtractor,
    },
    "hrv_rmssd": {
        "fitbit": from_fitbit.FitbitVariabilityExtractor,
        "synthetic": from_synthetic.SyntheticRmssdExtractor,
    },
    "skin_temperature_delta": {
        "fitbit": from_fitbit.FitbitSkinTemperatureExtractor,
        "synthetic": from_synthetic.SyntheticSkinDeltaExtractor,
    },
    "hrv_sdnn": {"synthetic": from_synthetic.SyntheticSdnnExtractor},
    "rr_interval": {"synthetic": from_synthetic.SyntheticBeatsExtractor},
    "skin_temperature": {"synthetic": from_synthetic.SyntheticSkinExtractor},
    "body_temperature": {"synthetic": from_synthetic.SyntheticBodyTemperatureExtractor},
}

#: Turn a page into our rows, without side effects.
transformers: Mapping[str, Mapping[str, Transformer[Any, Any]]] = {
    HEART_RATE: {
        "fitbit": of_fitbit.FitbitHeartRateTransformer(),
        "google": GoogleHeartRateTransformer(),
        "synthetic": DeviceTransformer(),
    },
    HEART_RATE_SUMMARY: {"fitbit": of_fitbit.FitbitSummaryTransformer(), "google": GoogleSummaryTransformer()},
    "oxygen_saturation": {"fitbit": of_fitbit.FitbitOxygenTransformer(), "synthetic": DeviceTransformer()},
    "respiratory_rate": {"fitbit": of_fitbit.FitbitBreathingTransformer(), "synthetic": DeviceTransformer()},
    "hrv_rmssd": {"fitbit": of_fitbit.FitbitVariabilityTransformer(), "synthetic": DeviceTransformer()},
    "skin_temperature_delta": {
        "fitbit": of_fitbit.FitbitSkinTemperatureTransformer(),
        "synthetic": DeviceTransformer(),
    },
    "hrv_sdnn": {"synthetic": DeviceTransformer()},
    "rr_interval": {"synthetic": DeviceTransformer()},
    "skin_temperature": {"synthetic": DeviceTransformer()},
    "body_temperature": {"synthetic": DeviceTransformer()},
}

#: The data sets of readings, each of one metric.
READINGS = tuple(data_set for data_set in extractors if data_set in METRICS)


def loaders(
    ingestor: Ingestor, reader: Reader, registry: Registry, rules: ReadingRules | None = None, *, upsert: bool = True
) -> Mapping[str, Loader[Any]]:
    """Return the loaders, which check and store rows from any source."""
    rules = rules or ReadingRules()
    readings = {name: ReadingLoader(ingestor, reader, rules, metric=METRICS[name], upsert=upsert) for name in READINGS}
    return readings | {HEART_RATE_SUMMARY: SummaryLoader(registry, reader, upsert=upsert)}


def chosen_data_sets(text: str | None) -> Sequence[str]:
    """Read data sets separated by commas, all of them by default. They keep the order of the registry, in which they
    are brought.

    Raises:
        ValueError: something else is named, or nothing.
    """
    if text is None:
        return tuple(extractors)
    named = [name.strip() for name in text.split(",")]
    for name in named:
        if name not in extractors:
            raise ValueError(f"{name or 'nothing'} is no data set; there are {', '.join(extractors)}")
    return tuple(data_set for data_set in extractors if data_set in named)
