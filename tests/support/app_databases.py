"""Databases of apps on phones, made after their schemas."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

_INSTANT = "row_id INTEGER PRIMARY KEY AUTOINCREMENT, uuid BLOB, app_info_id INTEGER, time INTEGER, zone_offset INTEGER"
_RECORD = "row_id INTEGER PRIMARY KEY AUTOINCREMENT, uuid BLOB, app_info_id INTEGER, start_time INTEGER"
_WALL = "local_date_time INTEGER AS (time + 1000 * zone_offset)"

HEALTH_CONNECT = f"""
CREATE TABLE android_metadata (locale TEXT);
CREATE TABLE application_info_table (
    row_id INTEGER PRIMARY KEY, package_name TEXT NOT NULL UNIQUE, app_name TEXT, app_icon BLOB);
CREATE TABLE steps_record_table ({_RECORD}, count INTEGER);
CREATE TABLE sleep_session_record_table ({_RECORD});
CREATE TABLE heart_rate_record_table ({_RECORD});
CREATE TABLE heart_rate_record_series_table (
    parent_key INTEGER NOT NULL, beats_per_minute INTEGER, epoch_millis INTEGER,
    FOREIGN KEY (parent_key) REFERENCES heart_rate_record_table (row_id) ON DELETE CASCADE);
CREATE TABLE skin_temperature_record_table ({_RECORD}, baseline REAL);
CREATE TABLE skin_temperature_delta_table (parent_key INTEGER NOT NULL, delta REAL, epoch_millis INTEGER);
CREATE TABLE oxygen_saturation_record_table ({_INSTANT}, percentage REAL, {_WALL});
CREATE TABLE respiratory_rate_record_table ({_INSTANT}, rate REAL, {_WALL});
CREATE TABLE heart_rate_variability_rmssd_record_table ({_INSTANT}, heart_rate_variability_millis REAL, {_WALL});
CREATE TABLE body_temperature_record_table ({_INSTANT}, temperature REAL, measurement_location INTEGER, {_WALL});
CREATE TABLE resting_heart_rate_record_table ({_INSTANT}, beats_per_minute INTEGER, {_WALL});
"""

_KEY = "TIMESTAMP INTEGER NOT NULL, DEVICE_ID INTEGER NOT NULL, USER_ID INTEGER NOT NULL DEFAULT 1"
_PAIR = "PRIMARY KEY (TIMESTAMP, DEVICE_ID) ON CONFLICT REPLACE"

GADGETBRIDGE = f"""
CREATE TABLE android_metadata (locale TEXT);
CREATE TABLE "DEVICE" (_id INTEGER PRIMARY KEY, "NAME" TEXT NOT NULL, MANUFACTURER TEXT, "IDENTIFIER" TEXT NOT NULL);
CREATE TABLE "MI_BAND_ACTIVITY_SAMPLE" ({_KEY}, "RAW_INTENSITY" INTEGER, "STEPS" INTEGER, "HEART_RATE" INTEGER,
    {_PAIR}) WITHOUT ROWID;
CREATE TABLE "XIAOMI_ACTIVITY_SAMPLE" ({_KEY}, "STEPS" INTEGER, "HEART_RATE" INTEGER, "SPO2" INTEGER,
    {_PAIR}) WITHOUT ROWID;
CREATE TABLE "HUAWEI_ACTIVITY_SAMPLE" ({_KEY}, "OTHER_TIMESTAMP" INTEGER, "SOURCE" INTEGER DEFAULT 1, "SPO" INTEGER,
    "HEART_RATE" INTEGER, PRIMARY KEY (TIMESTAMP, DEVICE_ID, OTHER_TIMESTAMP, SOURCE)) WITHOUT ROWID;
CREATE TABLE "HUAMI_HEART_RATE_MANUAL_SAMPLE" ({_KEY}, "HEART_RATE" INTEGER, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "HUAMI_HEART_RATE_MAX_SAMPLE" ({_KEY}, "HEART_RATE" INTEGER, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "HUAMI_HEART_RATE_RESTING_SAMPLE" ({_KEY}, "HEART_RATE" INTEGER, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "HUAMI_SPO2_SAMPLE" ({_KEY}, "TYPE_NUM" INTEGER, "SPO2" INTEGER, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "GARMIN_HRV_VALUE_SAMPLE" ({_KEY}, "VALUE" INTEGER, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "GARMIN_RESPIRATORY_RATE_SAMPLE" ({_KEY}, "RESPIRATORY_RATE" REAL, {_PAIR}) WITHOUT ROWID;
CREATE TABLE "XIAOMI_SLEEP_STAGE_SAMPLE" ({_KEY}, "STAGE" INTEGER, {_PAIR}) WITHOUT ROWID;
"""


def sqlite_file(schema: str, rows: Mapping[str, Sequence[Mapping[str, object]]] | None = None) -> bytes:
    """The bytes of a database with this schema and these rows, by table and column."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.db"
        connection = sqlite3.connect(path)
        with connection:
            connection.executescript(schema)
            for table, each in (rows or {}).items():
                for row in each:
                    marks = ", ".join("?" * len(row))
                    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        connection.close()
        return path.read_bytes()
