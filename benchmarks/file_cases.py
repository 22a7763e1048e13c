"""Files in and out: what the commands take of the processors and of the memory, store and all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from benchmarks.bench import Bench, Figures, SkippedError
from benchmarks.pulsebase_system import Pulsebase
from benchmarks.system import System
from tests.support import fit
from tests.support.app_databases import GADGETBRIDGE, sqlite_file
from tests.support.health_files import apple_export, apple_record, takeout_heart_rate

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_DAY_READINGS = 10_000
_STEP_S = 8
#: What a watch records beside the heart rate: position, altitude, cadence, distance, speed, power.
_FIT_FIELDS = [
    fit.TIMESTAMP,
    (0, 4, 0x85),
    (1, 4, 0x85),
    fit.HEART_RATE,
    (2, 2, 0x84),
    (4, 1, 0x02),
    (5, 4, 0x86),
    (6, 2, 0x84),
    (7, 2, 0x84),
]


def files(bench: Bench, system: System) -> Figures:
    """Each kind into an empty store without a server; then the export of a store."""
    if not isinstance(system, Pulsebase):
        raise SkippedError("reads no such files")
    sizes = bench.sizes
    kinds = {
        "takeout": (_takeout, sizes.takeout_readings),
        "takeout_csv": (_takeout_csv, sizes.takeout_readings),
        "apple": (_apple, sizes.apple_records),
        "fit": (_fit, sizes.fit_records),
        "database": (_database, sizes.vendor_readings),
        "tcx": (_tcx, sizes.vendor_readings),
        "json": (_oura, sizes.vendor_readings),
        "zepp": (_zepp, sizes.vendor_readings),
        "csv": (_csv, sizes.takeout_readings),
        "research": (_research, sizes.takeout_readings),
        "arrow": (_arrow, sizes.takeout_readings),
    }
    figures: Figures = {}
    for name, (write, count) in kinds.items():
        folder = bench.folder / f"import-{name}"
        folder.mkdir()
        path = write(folder, count)
        run = _run(folder, "import", str(path), "--user", "ann")
        figures[name] = _figures(count, run) | {"file_bytes": _bytes_of(path)}
    folder = bench.folder / "export"
    folder.mkdir()
    _run(folder, "import", str(_takeout(folder, sizes.exported_readings)), "--user", "ann")
    figures["export"] = _figures(
        sizes.exported_readings, _run(folder, "export", "--format", "parquet", "--out", str(folder / "out"))
    )
    figures["export"] |= {"file_bytes": _bytes_of(folder / "out")}
    return figures


def _run(folder: Path, *arguments: str) -> tuple[float, float, int]:
    """(processor seconds, seconds, most memory in KiB) of a command.

    Raises:
        RuntimeError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")}
    environment["PULSEBASE_STORE_URL"] = f"duckdb:///{folder / 'store.duckdb'}"
    started_s = time.monotonic()
    log = folder / "log"
    output = [(os.POSIX_SPAWN_OPEN, number, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for number in (1, 2)]
    command = [sys.executable, "-c", "from pulsebase.cli.app import main; main()", *arguments]
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=output)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"pulsebase {arguments[0]}: {log.read_text()[-500:]}")
    return used.ru_utime + used.ru_stime, time.monotonic() - started_s, used.ru_maxrss


def _figures(count: int, run: tuple[float, float, int]) -> Figures:
    processor_s, seconds, memory_kib = run
    return {
        "readings": count,
        "processor_s_per_million": round(processor_s / count * 1e6, 3),
        "readings_per_s": round(count / seconds),
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(memory_kib / 1024),
    }


def _takeout(folder: Path, count: int) -> Path:
    """A folder with a file a day."""
    found = folder / "Takeout"
    found.mkdir()
    for day, first in enumerate(range(0, count, _DAY_READINGS)):
        begin_s = int((_BEGIN + timedelta(days=day)).timestamp())
        samples = [(begin_s + _STEP_S * n, 60 + n % 80, n % 4) for n in range(min(_DAY_READINGS, count - first))]
        (found / f"heart_rate-{_BEGIN + timedelta(days=day):%Y-%m-%d}.json").write_bytes(takeout_heart_rate(samples))
    return found


def _apple(folder: Path, count: int) -> Path:
    """An export with twice as many other records, as they are."""
    head, _, tail = apple_export([]).rpartition(b"</HealthData>")
    step = apple_record("2020-01-01 10:00:00 +0100", "17", unit="count").replace("HeartRate", "StepCount")
    path = folder / "export.xml"
    with path.open("wb") as file:
        file.write(head)
        for first in range(0, count, _DAY_READINGS):
            parts: list[str] = []
            for n in range(first, min(first + _DAY_READINGS, count)):
                at = _BEGIN + timedelta(seconds=_STEP_S * n)
                parts += [step, apple_record(f"{at:%Y-%m-%d %H:%M:%S} +0000", str(60 + n % 80)), step]
            file.write("".join(parts).encode())
        file.write(b"</HealthData>" + tail)
    return path


def _csv(folder: Path, count: int) -> Path:
    """A file of a program that nobody knows: local times, a device and a note in each line."""
    path = folder / "strap.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("Time;Heart Rate;Device;Note\n")
        for n in range(count):
            at = _BEGIN + timedelta(seconds=_STEP_S * n)
            file.write(f"{at:%Y-%m-%d %H:%M:%S};{60 + n % 80},5;H10;\n")
    return path


def _research(folder: Path, count: int) -> Path:
    """As Fitabase writes it: local times, with AM and PM."""
    path = folder / "heartrate_seconds.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("Id,Time,Value\n")
        for n in range(count):
            at = _BEGIN + timedelta(seconds=_STEP_S * n)
            file.write(f"2022484408,{at.month}/{at.day}/{at:%Y %I:%M:%S %p},{60 + n % 80}\n")
    return path


def _takeout_csv(folder: Path, count: int) -> Path:
    """The newer files of a Takeout, a day each."""
    found = folder / "Physical Activity_GoogleData"
    found.mkdir()
    for first in range(0, count, _DAY_READINGS):
        lines = ["timestamp,beats per minute,data source\n"]
        for n in range(first, min(first + _DAY_READINGS, count)):
            at = _BEGIN + timedelta(seconds=_STEP_S * n)
            lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{60 + n % 80}.0,Charge 6\n")
        (found / f"heart_rate_{first}.csv").write_text("".join(lines))
    return found


def _arrow(folder: Path, count: int) -> Path:
    """A Feather file of columns that nobody agreed on."""
    path = folder / "strap.feather"
    numbers = np.arange(count, dtype=np.int64)
    times = pa.array(int(_BEGIN.timestamp()) + _STEP_S * numbers).cast(pa.timestamp("s", "UTC"))
    feather.write_feather(pa.table({"Recorded at": times, "Pulse": 60 + numbers % 80, "Note": [""] * count}), path)
    return path


def _fit(folder: Path, count: int) -> Path:
    """A folder of activities of five hours."""
    found = folder / "activities"
    found.mkdir()
    length = 18_000
    for first in range(0, count, length):
        messages = _fit_messages(first, min(first + length, count))
        (found / f"{first}.fit").write_bytes(fit.fit_file(messages))
    return found


def _fit_messages(first: int, end: int) -> Iterator[bytes]:
    begin_s = int(_BEGIN.timestamp()) - fit.EPOCH_S
    yield fit.file_id()
    yield fit.definition(1, fit.RECORD, _FIT_FIELDS)
    for n in range(first, end):
        yield struct.pack("<BIiiBHBIHH", 1, begin_s + n, n, n, 60 + n % 80, 2500, 90, 3 * n, 3000, 200)


def _moments(count: int) -> Iterator[tuple[datetime, int]]:
    """Yield a time each minute, and a heart rate."""
    return ((_BEGIN + timedelta(minutes=n), 60 + n % 80) for n in range(count))


def _database(folder: Path, count: int) -> Path:
    """Gadgetbridge's, with a row a minute."""
    path = folder / "Gadgetbridge.db"
    path.write_bytes(sqlite_file(GADGETBRIDGE))
    rows = ((int(at.timestamp()), 1, 4, bpm) for at, bpm in _moments(count))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO MI_BAND_ACTIVITY_SAMPLE (TIMESTAMP, DEVICE_ID, STEPS, HEART_RATE) VALUES (?, ?, ?, ?)", rows
        )
    return path


def _tcx(folder: Path, count: int) -> Path:
    """Activities of a day each, with what a watch records beside the heart rate."""
    path = folder / "a.tcx"
    with path.open("w") as file:
        file.write("<TrainingCenterDatabase><Activities>")
        for place, (at, bpm) in enumerate(_moments(count)):
            if place % 1440 == 0:
                file.write("</Track></Activity><Activity><Track>" if place else "<Activity><Track>")
            file.write(
                f"<Trackpoint><Time>{at:%Y-%m-%dT%H:%M:%SZ}</Time><Position><LatitudeDegrees>52.5</LatitudeDegrees>"
                "<LongitudeDegrees>13.4</LongitudeDegrees></Position><AltitudeMeters>34.2</AltitudeMeters>"
                f"<HeartRateBpm><Value>{bpm}</Value></HeartRateBpm></Trackpoint>"
            )
        file.write("</Track></Activity></Activities></TrainingCenterDatabase>")
    return path


def _oura(folder: Path, count: int) -> Path:
    path = folder / "heartrate.json"
    readings = [f'{{"bpm":{bpm},"source":"awake","timestamp":"{at.isoformat()}"}}' for at, bpm in _moments(count)]
    path.write_text('{"data":[' + ",".join(readings) + "]}")
    return path


def _zepp(folder: Path, count: int) -> Path:
    path = folder / "HEARTRATE_AUTO.csv"
    lines = [f"{at:%Y-%m-%d,%H:%M},{bpm}\n" for at, bpm in _moments(count)]
    path.write_text("date,time,heartRate\n" + "".join(lines))
    return path


def _bytes_of(path: Path) -> int:
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())
