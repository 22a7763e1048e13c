"""The short form: that every case runs, counts what was sent and leaves a complete result. No time is judged."""

import json
import os
import time
from pathlib import Path
from typing import IO, Any

import pytest

from benchmarks import file_cases, processes
from benchmarks.history import KINDS
from benchmarks.page import BEGIN, END, PAGE, with_table
from benchmarks.pulsebase_system import PROGRAM
from benchmarks.run import CASES, PEER_CASES, RESULTS, run
from benchmarks.sizes import SHORT, changed
from tests.support.forks import Forked, fork_command

INGEST = ("json_batches", "bulk", "singles")


def forked(command: list[str], output: IO[bytes], folder: Path, env: dict[str, str]) -> Forked:
    """See `processes.launched`; for the program alone."""
    assert command[: len(PROGRAM)] == PROGRAM
    return fork_command(command[len(PROGRAM) :], cwd=folder, env=env, stdout=output, stderr=output)


def counted(folder: Path, *arguments: str) -> tuple[float, float, int]:
    """See `file_cases._run`; by the clock, and the memory of nothing."""
    began_s = time.monotonic()
    env = {"PULSEBASE_STORE_URL": f"duckdb:///{folder / 'store.duckdb'}"}
    env |= {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")}
    with (folder / "log").open("ab") as output:
        process = fork_command(arguments, cwd=folder, env=env, stdout=output, stderr=output)
        assert process.wait(300) == 0, (folder / "log").read_text()
    took_s = time.monotonic() - began_s
    return took_s, took_s, 0


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all cases, the first with a server as it is started otherwise, the others with forked ones; of the
    commands that read files, one is started and measured as it is otherwise.
    """
    folder = tmp_path_factory.mktemp("results")
    first, *others = CASES
    run(SHORT, [first], ["pulsebase"], folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processes, "launched", forked)
        measured = file_cases._run
        patched.setattr(
            file_cases, "_run", lambda *args: (measured if args[0].name == "import-takeout" else counted)(*args)
        )
        run(SHORT, others, ["pulsebase"], folder)
    return folder


def figures_of(folder: Path, case: str, system: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{case}.json").read_text())
    assert found["case"] == case
    assert {"cores", "memory_gib", "kernel", "python", "libraries"} <= found["machine"].keys()
    assert found["sizes"]["seed"] == SHORT.seed
    figures: dict[str, Any] = found["systems"][system]
    assert "failed" not in figures, figures
    assert "absent" not in figures, figures
    return figures


@pytest.mark.parametrize("case", INGEST)
def test_what_is_acknowledged_is_what_was_sent_and_is_stored_once(ours: Path, case: str) -> None:
    figures = figures_of(ours, case, "pulsebase")
    assert figures["readings"] > 0
    assert figures["statuses"].keys() == {"202"}
    assert figures["counts_agree"] is True


def test_every_kind_of_question_is_answered_over_all_that_was_stored(ours: Path) -> None:
    figures = figures_of(ours, "series_idle", "pulsebase")
    assert figures["latency_ms"].keys() == {"all", *KINDS}
    assert figures["statuses"].keys() == {"200"}
    assert figures["points"] > 0
    assert figures["counts_agree"] is True


def test_questions_are_answered_beside_a_stream(ours: Path) -> None:
    figures = figures_of(ours, "series_under_load", "pulsebase")
    assert figures["stream"]["requests"] > 0
    assert figures["late"]["readings"] >= SHORT.late_readings
    assert figures["counts_agree"] is True


def test_growth_and_disk_are_measured(ours: Path) -> None:
    grown = figures_of(ours, "growth", "pulsebase")
    assert grown["to"]["stored_readings"] > grown["from"]["stored_readings"] > 0
    taken = figures_of(ours, "disk", "pulsebase")
    assert all(taken[name]["bytes_per_reading"] > 0 for name in ("at_1_hz", "at_1_to_15_s", "at_10_minutes"))


def test_files_are_measured(ours: Path) -> None:
    figures = figures_of(ours, "files", "pulsebase")
    for name in ("takeout", "apple", "fit", "database", "tcx", "json", "zepp", "csv", "export"):
        assert figures[name]["processor_s_per_million"] > 0
        assert figures[name]["file_bytes"] > 0


def test_the_dashboard_is_measured(ours: Path) -> None:
    figures = figures_of(ours, "dashboard", "pulsebase")
    kinds = ("first_chart_ms", "zoom_step_ms", "zoom_step_in_a_row_ms", "live_ms")
    assert all(figures[kind]["most"] >= figures[kind]["p50"] >= 0 for kind in kinds)
    assert figures["panning"].keys() == {"1m", "1s", "raw"}
    assert all(one["frames"] > 0 and one["task_cpu_ms"]["most"] > 0 for one in figures["panning"].values())


def test_a_population_is_stored_at_both_sizes(ours: Path) -> None:
    figures = figures_of(ours, "fixtures", "pulsebase")
    assert [figures[size]["readings"] for size in ("standard", "large")] == [SHORT.readings, SHORT.large_readings]
    assert all(figures[size]["bytes_per_reading"] > 0 for size in ("standard", "large"))


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("cohort_ragged", {"late", "everybody", "men"}),
        ("cohort_aligned", {"days_everybody", "days_men", "hours_everybody", "hours_men"}),
        ("top_hours", {"top_hours"}),
    ],
)
def test_a_population_is_asked_about(ours: Path, case: str, kinds: set[str]) -> None:
    figures = figures_of(ours, case, "pulsebase")
    for size in ("standard", "large"):
        assert figures[size]["latency_ms"].keys() == {"all", *kinds}
        assert figures[size]["errors"] == []
        assert (figures[size]["found"] > 0) == case.startswith("cohort")
    assert (figures["standard"]["late_readings"] > 0) == (case == "cohort_ragged")


def test_a_page_can_be_made_of_the_results(ours: Path) -> None:
    page = with_table(f"before\n{BEGIN}\nold\n{END}\nafter", ours)
    assert "old" not in page
    assert all(page.count(f"### {title}") == 1 for title in ("Bulk", "Growth", "Disk", "Memory", "Machine"))
    assert all(page.count(f"### {title}") == 1 for title in ("A population", "One person's highest hours"))


def test_a_peer_gets_the_same_readings(tmp_path: Path) -> None:
    run(SHORT, ["json_batches"], ["specification"], tmp_path)
    assert figures_of(tmp_path, "json_batches", "specification")["counts_agree"] is True


def test_the_page_shows_the_committed_results() -> None:
    page = PAGE.read_text()
    assert with_table(page, RESULTS) == page, "python -m benchmarks table"


def test_sizes_are_changed_by_name() -> None:
    assert changed(SHORT, ["stored_readings=8.6e6", "seconds=3"]).stored_readings == 8_600_000
    with pytest.raises(ValueError, match="no size"):
        changed(SHORT, ["nothing=1"])


def test_peers_take_part_in_cases_that_exist() -> None:
    assert CASES.keys() >= PEER_CASES
