"""The parts of the pipelines: extractors, transformers and loaders by data set, then source.

A data set of readings has the name of its metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulsebase.etl.extract import fitbit as from_fitbit
from pulsebase.etl.extract import google as from_google
from pulsebase.etl.extract import oura as from_oura
from pulsebase.etl.extract import polar as from_polar
from pulsebase.etl.extract import synthetic as from_synthetic
from pulsebase.etl.extract import withings as from_withings
from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.load import Loader, ReadingLoader, SummaryLoader
from pulsebase.etl.transform import fitbit as of_fitbit
from pulsebase.etl.transform import google as of_google
from pulsebase.etl.transform import oura as of_oura
from pulsebase.etl.transform import polar as of_polar
from pulsebase.etl.transform import withings as of_withings
from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.device import DeviceTransformer
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
        "google": from_google.GoogleHeartRateExtractor,
        "oura": from_oura.OuraHeartRateExtractor,
        "polar": from_polar.PolarHeartRateExtractor,
        "synthetic": from_synthetic.SyntheticStrapExtractor,
        "withings": from_withings.WithingsHeartRateExtractor,
    },
    HEART_RATE_SUMMARY: {"fitbit": from_fitbit.FitbitSummaryExtractor, "google": from_google.GoogleSummaryExtractor},
    "oxygen_saturation": {
        "fitbit": from_fitbit.FitbitOxygenExtractor,
        "google": from_google.GoogleOxygenExtractor,
        "oura": from_oura.OuraOxygenExtractor,
        "synthetic": from_synthetic.SyntheticOxygenExtractor,
        "withings": from_withings.WithingsOxygenExtractor,
    },
    "respiratory_rate": {
        "fitbit": from_fitbit.FitbitBreathingExtractor,
        "google": from_google.GoogleRespiratoryExtractor,
        "oura": from_oura.OuraBreathingExtractor,
        "polar": from_polar.PolarRechargeExtractor,
        "synthetic": from_synthetic.SyntheticBreathingExtractor,
        "withings": from_withings.WithingsBreathingExtractor,
    },
    "hrv_rmssd": {
        "fitbit": from_fitbit.FitbitVariabilityExtractor,
        "google": from_google.GoogleVariabilityExtractor,
        "oura": from_oura.OuraVariabilityExtractor,
        "polar": from_polar.PolarRechargeExtractor,
        "synthetic": from_synthetic.SyntheticRmssdExtractor,
        "withings": from_withings.WithingsRmssdExtractor,
    },
    "hrv_sdnn": {
        "google": from_google.GoogleVariabilityExtractor,
        "synthetic": from_synthetic.SyntheticSdnnExtractor,
        "withings": from_withings.WithingsSdnnExtractor,
    },
    "skin_temperature": {
        "google": from_google.GoogleSkinTemperatureExtractor,
        "synthetic": from_synthetic.SyntheticSkinExtractor,
    },
    "skin_temperature_delta": {
        "fitbit": from_fitbit.FitbitSkinTemperatureExtractor,
        "google": from_google.GoogleSkinTemperatureExtractor,
        "oura": from_oura.OuraSkinTemperatureExtractor,
        "synthetic": from_synthetic.SyntheticSkinDeltaExtractor,
    },
    "body_temperature": {"synthetic": from_synthetic.SyntheticBodyTemperatureExtractor},
    "rr_interval": {"synthetic": from_synthetic.SyntheticBeatsExtractor},
}

#: Turn a page into our rows, without side effects.
transformers: Mapping[str, Mapping[str, Transformer[Any, Any]]] = {
    HEART_RATE: {
        "fitbit": of_fitbit.FitbitHeartRateTransformer(),
        "google": of_google.GoogleHeartRateTransformer(),
        "oura": of_oura.OuraHeartRateTransformer(),
        "polar": of_polar.PolarHeartRateTransformer(),
        "synthetic": DeviceTransformer(),
        "withings": of_withings.WithingsSamplesTransformer(),
    },
    HEART_RATE_SUMMARY: {
        "fitbit": of_fitbit.FitbitSummaryTransformer(),
        "google": of_google.GoogleSummaryTransformer(),
    },
    "oxygen_saturation": {
        "fitbit": of_fitbit.FitbitOxygenTransformer(),
        "google": of_google.GoogleOxygenTransformer(),
        "oura": of_oura.OuraOxygenTransformer(),
        "synthetic": DeviceTransformer(),
        "withings": of_withings.WithingsSamplesTransformer(),
    },
    "respiratory_rate": {
        "fitbit": of_fitbit.FitbitBreathingTransformer(),
        "google": of_google.GoogleRespiratoryTransformer(),
        "oura": of_oura.OuraBreathingTransformer(),
        "polar": of_polar.PolarRechargeTransformer(of_polar.breathing),
        "synthetic": DeviceTransformer(),
        "withings": of_withings.WithingsBreathingTransformer(),
    },
    "hrv_rmssd": {
        "fitbit": of_fitbit.FitbitVariabilityTransformer(),
        "google": of_google.GoogleVariabilityTransformer("rmssd"),
        "oura": of_oura.OuraVariabilityTransformer(),
        "polar": of_polar.PolarRechargeTransformer(of_polar.variability),
        "synthetic": DeviceTransformer(),
        "withings": of_withings.WithingsSamplesTransformer(),
    },
    "hrv_sdnn": {
        "google": of_google.GoogleVariabilityTransformer("sdnn"),
        "synthetic": DeviceTransformer(),
        "withings": of_withings.WithingsSamplesTransformer(),
    },
    "skin_temperature": {
        "google": of_google.GoogleSkinTemperatureTransformer(from_usual=False),
        "synthetic": DeviceTransformer(),
    },
    "skin_temperature_delta": {
        "fitbit": of_fitbit.FitbitSkinTemperatureTransformer(),
        "google": of_google.GoogleSkinTemperatureTransformer(from_usual=True),
        "oura": of_oura.OuraSkinTemperatureTransformer(),
        "synthetic": DeviceTransformer(),
    },
    "body_temperature": {"synthetic": DeviceTransformer()},
    "rr_interval": {"synthetic": DeviceTransformer()},
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
