"""Tell the files of other vendors by how they begin; where that leaves open of what they are, by their name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pulsebase.etl.extract import empatica, vendor_csv, vendor_json
from pulsebase.etl.extract.parts import Kind
from pulsebase.etl.extract.vendor_csv import VendorCsv
from pulsebase.model.metrics import HEART_RATE, HRV_RMSSD, HRV_SDNN, OXYGEN_SATURATION, RESPIRATORY_RATE

SAMSUNG_MINUTES = Kind("Samsung Health, minutes", "minute", False, vendor_json.samsung_minutes)
OURA = Kind("Oura heart rate", "reading", False, vendor_json.oura)
POLAR = Kind("Polar continuous heart rate", "sample", False, vendor_json.polar)
FITBIT_PAGES = Kind("page of Fitbit's Web API", "reading", False, vendor_json.fitbit_pages)
LIFESNAPS = Kind("LifeSnaps", "line", True, vendor_json.lifesnaps)
EMPATICA_HEART_RATE = Kind("Empatica heart rate", "line", False, empatica.heart_rates)
EMPATICA_TEMPERATURE = Kind("Empatica temperature", "line", False, empatica.temperatures)
EMPATICA_BEATS = Kind("Empatica beats", "line", False, empatica.beats)

#: How much of a file its first lines are looked for in.
_HEAD_BYTES = 1 << 13
_SAMSUNG_TYPE = re.compile(r"(com\.samsung\.s?health\.[a-z_.]+),\d+,\d+")
#: The metrics of Withings by what the names of files end in, and the device that they name before.
_WITHINGS_NAME = re.compile(r"raw_(?P<device>[a-z0-9-]+)_(?P<what>[a-z0-9 _-]+?)(?:\s*\(\d+\))?\.csv", re.IGNORECASE)
_WITHINGS = {
    "hr": ("heart rate", HEART_RATE.name),
    "hrrmssd": ("heart rate variability", HRV_RMSSD.name),
    "hrsdnn": ("heart rate variability (SDNN)", HRV_SDNN.name),
    "respiratoryrate": ("respiratory rate", RESPIRATORY_RATE.name),
    "spo2": ("oxygen saturation", OXYGEN_SATURATION.name),
}
_EMPATICA = re.compile(rb"\d{9,10}(\.\d+)?(, ?\d{9,10}(\.\d+)?)*\s*\r?\n\d+(\.\d+)?(, ?\d+(\.\d+)?)*\s*\r?\n")
_EMPATICA_BEATS = re.compile(rb"\d{9,10}(\.\d+)?, ?IBI\s*\r?\n")
_EMPATICA_FILES = {"HR.CSV": EMPATICA_HEART_RATE, "TEMP.CSV": EMPATICA_TEMPERATURE}
_OURA_JSON = re.compile(r'\{\s*"data"\s*:\s*\[')
_FITBIT_PAGE = re.compile(r'\[?\s*\{\s*"activities-heart')
_POLAR = re.compile(r'"(heart_rate_samples|deviceDays)"\s*:\s*\[')


def kind_of_vendor(name: str, head: bytes) -> Kind | None:
    """Return the kind of a file by its name and first bytes; None if it is none of these."""
    base = name.replace("\\", "/").rpartition("/")[2]
    text = head[:_HEAD_BYTES].decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    if text[:1] in ("{", "["):
        return _of_json(text)
    found = _of_csv(base, text)
    if found is not None:
        return Kind(found.title, "line", False, found.read)  # tables of one program may differ, their title is one
    if _EMPATICA_BEATS.match(head):
        return EMPATICA_BEATS
    return _EMPATICA_FILES.get(base.upper()) if _EMPATICA.match(head) else None


def lost_its_name(name: str, head: bytes) -> bool:
    """Return whether a file is a series of Withings whose name does not tell of what."""
    base = name.replace("\\", "/").rpartition("/")[2]
    first = head[:_HEAD_BYTES].partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf").strip()
    return first.decode("utf-8", "replace").split(",") == vendor_csv.WITHINGS_COLUMNS and not base.startswith("raw_")


def _of_csv(base: str, text: str) -> VendorCsv | None:
    first = text.partition("\n")[0].strip()
    samsung = _SAMSUNG_TYPE.match(first)
    if samsung is not None:
        return vendor_csv.SAMSUNG.get(samsung[1]) or vendor_csv.samsung_other(samsung[1])
    names, delimiter = vendor_csv.first_names(first)
    if names == vendor_csv.WITHINGS_COLUMNS:
        return _withings(base)
    if vendor_csv.is_oura(names):
        return vendor_csv.oura(delimiter)
    return next((kind for kind in (vendor_csv.MI_FITNESS, vendor_csv.ZEPP) if kind.is_header(names)), None)


def _withings(base: str) -> VendorCsv | None:
    """The columns of all series are the same, so the name tells which it is."""
    named = _WITHINGS_NAME.fullmatch(base)
    if named is None:
        return None
    title, metric = _WITHINGS.get(re.sub("[ _-]", "", named["what"].lower()), (None, ""))
    device_id = f"withings-{named['device'].lower()}"
    return None if title is None else vendor_csv.withings(metric, f"Withings {title}", device_id)


def _of_json(text: str) -> Kind | None:
    if _FITBIT_PAGE.match(text):
        return FITBIT_PAGES
    if _POLAR.search(text):
        return POLAR
    listed = _OURA_JSON.match(text)
    record = _first_object(text[listed.end() :] if listed else text.removeprefix("["))
    if listed is not None:
        return OURA if {"bpm", "timestamp"} <= record.keys() else None
    if isinstance(record.get("start_time"), int) and record.keys() & vendor_json.SAMSUNG_FIELDS.keys():
        return SAMSUNG_MINUTES
    return LIFESNAPS if {"_id", "type", "id", "data"} <= record.keys() else None


def _first_object(text: str) -> Mapping[str, Any]:
    try:
        found, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
