"""The tables of the page, made from the result files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "reference" / "performance.md"
BEGIN = "<!-- made by `python -m benchmarks table` from benchmarks/results -->"
END = "<!-- end -->"
#: Folders of results that have tables of their own, and their headings: a TimescaleDB server, which not every machine
#: has, took part in the first, and a ClickHouse cluster in the second.
APART = {"server": "Figures of the server store", "cluster": "Figures of the ClickHouse store"}

Result = dict[str, Any]


def with_table(page: str, results: Path) -> str:
    """The page with what is between its markers made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    apart = [
        f"\n## {heading}\n\n{tables(results / name)}" for name, heading in APART.items() if (results / name).is_dir()
    ]
    return f"{before}{BEGIN}\n\n{tables(results)}{''.join(apart)}\n{END}{after}"


def tables(results: Path) -> str:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    parts = [make(found[name]) for name, make in _SECTIONS.items() if name in found]
    if not parts:
        return "No results yet.\n"
    return "\n".join([*parts, _memory(found), _machines(found)])


def _ingest(title: str) -> Callable[[Result], str]:
    def section(result: Result) -> str:
        rows = []
        for name, figures in result["systems"].items():
            if _missing(figures):
                rows.append([name, _missing(figures)])
                continue
            latency = figures["latency_ms"].get("all", {})
            unmerged = [figures["unmerged_at_end"], figures["unmerged_later"]]
            rows.append(
                [
                    name,
                    _number(figures["readings_per_s"]) + (" (ran out)" if figures["ran_out"] else ""),
                    *(_number(latency.get(key)) for key in ("p50", "p99", "p99_9")),
                    " / ".join(_number(value) for value in unmerged),
                    _number(figures["peak_memory_mib"]),
                    f"{figures['doors'][_DOORS[result['case']]]}; {figures['durable']}",
                ]
            )
        sizes = result["sizes"]
        later = f"unmerged at the end / {sizes['settle_s']:g} s later"
        head = ["", "readings/s", "p50 ms", "p99 ms", "p99.9 ms", later, "memory MiB", "sent as; acknowledged means"]
        return _section(f"{title}, {sizes['seconds']:g} s", head, rows)

    return section


_DOORS = {"json_batches": "batch", "bulk": "bulk", "singles": "single"}


def _series(title: str) -> Callable[[Result], str]:
    def section(result: Result) -> str:
        kinds = ["all", "two_hours_1m", "week_1h", "year_1d", "minute_raw", "day_1000_points"]
        rows = []
        for name, figures in result["systems"].items():
            if _missing(figures):
                rows.append([name, _missing(figures)])
                continue
            latency = figures["latency_ms"]
            cells = [_pair(latency[kind]) if kind in latency else "–" for kind in kinds]
            rows.append([name, _number(figures["stored_readings"]), *cells])
        head = [
            "p50 / p99 ms",
            "stored",
            "all",
            "2 h at 1m",
            "week at 1h",
            "year at 1d",
            "minute raw",
            "day, 1000 points",
        ]
        return _section(f"{title}, {result['sizes']['seconds']:g} s", head, rows)

    return section


def _under_load(result: Result) -> str:
    text = _series("One person's series beside a stream")(result)
    figures = next(iter(result["systems"].values()))  # ours, over whichever store; peers take no part
    if _missing(figures):
        return text
    return text + (
        f"\nBeside it {_number(figures['streamed_per_s'])} readings/s streamed in, and "
        f"{_number(figures['late']['readings'])} late ones; {_number(figures['unmerged_at_end'])} were unmerged at the "
        "end.\n"
    )


def _growth(result: Result) -> str:
    figures = result["systems"]["pulsebase"]
    if _missing(figures):
        rows = [["pulsebase", _missing(figures)]]
    else:
        rows = [
            [
                _number(part["stored_readings"]),
                _number(part["latency_ms"]["all"]["p50"]),
                _number(part["latency_ms"]["all"]["p99"]),
            ]
            for part in (figures["from"], figures["to"])
        ]
        rows.append(["times", *(_number(figures["ratio"][key]) for key in ("p50", "p99"))])
    return _section("Growth: the same mix over more readings", ["stored", "p50 ms", "p99 ms"], rows)


def _disk(result: Result) -> str:
    rows = []
    for name, figures in result["systems"].items():
        if _missing(figures):
            rows.append([name, _missing(figures)])
            continue
        parts = [figures[key] for key in ("at_1_hz", "at_1_to_15_s", "at_10_minutes")]
        cells = [
            f"{_number(part['bytes_per_reading'])} / {_number(part['bytes_per_reading_stopped'])}" for part in parts
        ]
        rows.append([name, *cells])
    head = ["bytes a reading, running / stopped", "at 1 Hz", "at 1–15 s", "at 10 minutes"]
    return _section(f"Disk, {_number(result['sizes']['disk_readings'])} readings each", head, rows)


def _files(result: Result) -> str:
    figures = result["systems"]["pulsebase"]
    if _missing(figures):
        return _section("Files", ["", ""], [["pulsebase", _missing(figures)]])
    rows = [
        [
            title,
            _number(figures[name]["readings"]),
            _number(figures[name]["file_bytes"] / (1 << 20)),
            _number(figures[name]["processor_s_per_million"]),
            _number(figures[name]["readings_per_s"]),
            _number(figures[name]["peak_memory_mib"]),
        ]
        for name, title in _FILE_TITLES.items()
        if name in figures  # older results have fewer kinds
    ]
    head = ["", "readings", "files MiB", "processor s a million", "readings/s", "memory MiB"]
    return _section("Files, without a server", head, rows)


_FILE_TITLES = {
    "takeout": "import of Takeout heart rate, a file a day",
    "takeout_csv": "import of Takeout heart rate, Google's CSV, a file a day",
    "apple": "import of an Apple Health export, two other records to each",
    "fit": "import of FIT activities",
    "database": "import of a Gadgetbridge database",
    "tcx": "import of TCX activities",
    "json": "import of Oura's JSON",
    "zepp": "import of Zepp's CSV",
    "csv": "import of CSV of an unknown program, local times",
    "research": "import of research CSV, local times",
    "arrow": "import of an Arrow file (Feather) of an unknown program",
    "export": "export to Parquet, a file a day",
}


def _stored(title: str, columns: dict[str, str]) -> Callable[[Result], str]:
    """What it took to store a population: figure → its heading."""

    def section(result: Result) -> str:
        rows = []
        for name, figures in result["systems"].items():
            rows += [[name, *(_number(part[key]) for key in columns)] for part in _by_size(figures)]
            if _missing(figures):
                rows.append([name, _missing(figures)])
        return _section(title, ["", *columns.values()], rows)

    return section


def _population(title: str, kinds: dict[str, str]) -> Callable[[Result], str]:
    def section(result: Result) -> str:
        rows = []
        for name, figures in result["systems"].items():
            for part in _by_size(figures):
                latency = part["latency_ms"]
                cells = [f"{_number(latency[kind]['p50'])} / {_number(latency[kind]['p95'])}" for kind in kinds]
                rows.append([name, _number(part["people"]), _number(part["stored_readings"]), *cells])
            if _missing(figures):
                rows.append([name, _missing(figures)])
        return _section(title, ["p50 / p95 ms", "people", "readings", *kinds.values()], rows)

    return section


def _dashboard(result: Result) -> str:
    rows = []
    for name, figures in result["systems"].items():
        if _missing(figures):
            rows.append([name, _missing(figures)])
            continue
        for kind, title in _DASHBOARD_TITLES.items():
            rows.append([title, *(_number(figures[kind][key]) for key in ("p50", "p95", "most"))])
        for resolution, found in figures["panning"].items():
            for kind, title in (("task_ms", "passed"), ("task_cpu_ms", "of the processor")):
                spread = (_number(found[kind][key]) for key in ("p50", "p95", "most"))
                rows.append([f"a task of the page's thread while panning at {resolution}, ms {title}", *spread])
    return _section("The dashboard in headless Chromium, four people", ["", "p50", "p95", "most"], rows)


_DASHBOARD_TITLES = {
    "first_chart_ms": "from opening the page, nothing kept, to the first chart, ms",
    "zoom_step_ms": "a step of the zoom after a rest, ms",
    "zoom_step_in_a_row_ms": "a step of the zoom right after another, ms",
    "live_ms": "from the acknowledgement of a reading to the figure on the live page, ms",
}


def _by_size(figures: Result) -> list[Result]:
    return [figures[name] for name in ("standard", "large") if name in figures]


_SECTIONS: dict[str, Callable[[Result], str]] = {
    "json_batches": _ingest("JSON batches of 1,000 over 16 connections"),
    "bulk": _ingest("Bulk"),
    "singles": _ingest("Single readings over 64 connections"),
    "series_idle": _series("One person's series, idle"),
    "series_under_load": _under_load,
    "growth": _growth,
    "disk": _disk,
    "files": _files,
    "fixtures": _stored(
        "A population, until all of it is merged",
        {
            "people": "people",
            "readings": "readings",
            "seconds": "seconds",
            "readings_per_s": "readings/s",
            "cpu_s": "processor s",
            "peak_memory_mib": "memory MiB",
            "bytes_per_reading": "bytes a reading",
        },
    ),
    "copy": _stored(
        "Copy of an embedded store into it",
        {
            "people": "people",
            "readings": "readings",
            "seconds": "copied in s",
            "readings_per_s": "readings/s",
            "compared_s": "then compared in s",
            "cpu_s": "processor s",
            "peak_memory_mib": "memory MiB",
        },
    ),
    "cohort_ragged": _population(
        "Averages of many people, ends on any second, right after 20,000 late readings",
        {"everybody": "everybody", "men": "men over 24"},
    ),
    "cohort_aligned": _population(
        "Averages of many people, all merged",
        {
            "days_everybody": "everybody, whole days",
            "days_men": "men over 24, whole days",
            "hours_everybody": "everybody, whole hours",
            "hours_men": "men over 24, whole hours",
        },
    ),
    "top_hours": _population("One person's highest hours, up to a year", {"top_hours": "top hours"}),
    "dashboard": _dashboard,
}


def _memory(found: dict[str, Result]) -> str:
    ours = {name: result["systems"].get("pulsebase", {}) for name, result in found.items()}
    peaks = {name: figures["peak_memory_mib"] for name, figures in ours.items() if "peak_memory_mib" in figures}
    if not peaks:
        return ""
    worst = max(peaks, key=lambda name: peaks[name])
    return f"### Memory\n\nThe server's peak over all of the above was {_number(peaks[worst])} MiB, in `{worst}`.\n"


def _machines(found: dict[str, Result]) -> str:
    """One line where all results are of one machine, else one each."""
    lines: dict[str, list[str]] = {}
    for name, result in found.items():
        machine = result["machine"]
        libraries = ", ".join(f"{library} {version}" for library, version in machine["libraries"].items())
        text = (
            f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
            f"Linux {machine['kernel']}, a sync in {machine['sync_ms']} ms, Python {machine['python']}; {libraries}; "
            f"seed {result['sizes']['seed']}, {result['sizes']['people']:,} people"
        )
        lines.setdefault(text, []).append(f"`{name}`")
    return "### Machine\n\n" + "\n".join(f"- {', '.join(names)}: {text}" for text, names in lines.items()) + "\n"


def _missing(figures: Result) -> str:
    if "absent" in figures:
        return f"did not run: {figures['absent']}"
    return "failed" if "failed" in figures else ""


def _section(title: str, head: list[str], rows: Iterable[list[str]]) -> str:
    padded = [row + [""] * (len(head) - len(row)) for row in rows]
    lines = [head, ["---"] * len(head), *padded]
    return f"### {title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _pair(latency: dict[str, float]) -> str:
    return f"{_number(latency['p50'])} / {_number(latency['p99'])}"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"
