"""Pulsebase as a library: what a notebook imports. The same questions are asked of a store and over HTTP."""

from __future__ import annotations

import pydoc
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

import pulsebase
from pulsebase import Answer, Library, connect, open_store, query_top, query_users
from pulsebase.access.access_file import AccessFile
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.library.progress import progress
from pulsebase.model.errors import RejectedError, StopError, TooManyRowsError, UnknownUserError
from pulsebase.model.users import User
from pulsebase.wiring_options import access_file
from tests.stores.harness import Reading, at, write
from tests.support.served import served

TEN = at("2023-01-15T10:00:00")
DAY = "2024-01-15"
NIGHT = datetime(2024, 1, 15, 1, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULSEBASE_STORE_URL", f"duckdb:///{tmp_path / 'of-settings.duckdb'}")


def filled(library: Library) -> Library:
    """Two people: heart rates of some hours, beats of a quarter hour, a ring's saturation."""
    library.put_person("ann", gender="female", birth_date=date(1990, 5, 1), time_zone="Europe/Berlin", name="Ann")
    times = [NIGHT + timedelta(seconds=10 * n) for n in range(1200)]
    heart_rates = [60 + (n * 7) % 40 for n in range(1200)]
    frame = polars.DataFrame({"timestamp": times, "heart_rate": heart_rates})
    assert library.write(frame, user_id="ann", device_id="strap").accepted == 1200
    assert library.write(frame.head(600), user_id="bob", device_id="watch").accepted == 600
    beats = np.random.default_rng(1).normal(900, 30, 1000).round().clip(700, 1100)
    at_beats = [NIGHT + timedelta(milliseconds=float(each)) for each in beats.cumsum()]
    of_beats = pandas.DataFrame({"timestamp": at_beats, "value": beats, "device_id": "strap"})
    assert library.write(of_beats, user_id="ann", metric="rr_interval").accepted == 1000
    one = {"user_id": "ann", "device_id": "ring", "metric": "spo2", "timestamp": "2024-01-15T02:00:00Z", "value": 96.5}
    assert library.write([one]).accepted == 1
    return library


QUESTIONS: dict[str, Callable[[Library], Any]] = {
    "people": lambda it: it.people(),
    "people by name": lambda it: it.people("Ann"),
    "metrics": lambda it: it.metrics("ann"),
    "series": lambda it: it.series("ann", DAY, DAY, interval="15m"),
    "series by points": lambda it: it.series("ann", DAY, date(2024, 1, 15), max_points=2000, tz="Asia/Tokyo"),
    "series of several": lambda it: it.series(["ann", "bob", "eve"], DAY, DAY),
    "series of metrics": lambda it: it.series("ann", DAY, DAY, metric=["heart_rate", "oxygen_saturation"]),
    "empty series": lambda it: it.series("ann", "2020-01-01", "2020-01-01"),
    "readings": lambda it: it.readings("ann", NIGHT, NIGHT + timedelta(hours=3)),
    "no readings": lambda it: it.readings("ann", "2020-01-01", "2020-01-01", metric="respiratory_rate"),
    "cohort": lambda it: it.cohort(DAY, DAY, min_avg="79.2"),
    "cohort by age": lambda it: it.cohort(DAY, DAY, min_avg=60, min_age=30, gender="female"),
    "top hours": lambda it: it.top_hours("ann", DAY, DAY, limit=3),
    "hrv": lambda it: it.hrv("ann", DAY, DAY),
    "hrv by night": lambda it: it.hrv("ann", DAY, DAY, window="night"),
    "resting": lambda it: it.resting_heart_rate("ann", DAY, DAY),
    "query_users": lambda it: it.query_users(None, None, 60, DAY, date(2024, 1, 15)),
    "query_top": lambda it: it.query_top("bob", DAY, DAY),
}
WRONG: dict[str, tuple[Callable[[Library], Any], type[Exception], str]] = {
    "a range": (lambda it: it.series("ann", DAY, "2023-01-01"), RejectedError, "end: must be after start$"),
    "a person": (lambda it: it.series("nobody", DAY, DAY), UnknownUserError, "nobody"),
    "an id": (lambda it: it.hrv("a/b", DAY, DAY), RejectedError, "user_id"),
    "a metric": (lambda it: it.cohort(DAY, DAY, metric="mood"), RejectedError, "metric"),
    "query_users": (lambda it: it.query_users(None, None, 60, DAY, "2020"), RejectedError, "date_to"),
    "query_top": (lambda it: it.query_top("ann", DAY, "2023-01-01"), RejectedError, "date_to"),
    "a column": (lambda it: it.write([{"heart_rate": 60, "mood": 1}]), RejectedError, "mood"),
}


def test_the_same_questions_get_the_same_answers_from_a_store_and_over_http(tmp_path: Path) -> None:
    path = tmp_path / "pulse.duckdb"
    with open_store(path) as library:
        filled(library)
        alone = {name: ask(library) for name, ask in QUESTIONS.items()}
        refused = {name: refusal(library, *each) for name, each in WRONG.items()}
    with served(store_url=f"duckdb:///{path}") as url, connect(url) as far, open_store(path) as beside:
        for library in (far, beside):
            for name, ask in QUESTIONS.items():
                assert ask(library) == alone[name], name
            assert {name: refusal(library, *each) for name, each in WRONG.items()} == refused
        with pytest.raises(StopError, match="another process"):
            _ = beside.store
        assert far.write([{"timestamp": f"{DAY}T09:00:00Z", "value": 150}], metric="heart_rate", **WHO).accepted == 1
        assert far.query_top("ann", DAY, DAY, 1) == beside.query_top("ann", DAY, DAY, 1) == [150.0]
    assert alone["series of several"].about["missing"] == ["eve"]
    assert alone["readings"]["value"][:3] == [60.0, 67.0, 74.0]
    assert alone["readings"].to_arrow().schema == alone["no readings"].to_arrow().schema
    assert alone["hrv by night"]["date"] == [date(2024, 1, 15)]
    assert [row["user_id"] for row in alone["cohort by age"].to_rows()] == ["ann"]


WHO: dict[str, Any] = {"user_id": "ann", "device_id": "strap"}


def refusal(library: Library, ask: Callable[[Library], Any], kind: type[Exception], said: str) -> str:
    with pytest.raises(kind, match=said) as caught:
        ask(library)
    return str(caught.value)


def test_answers_go_into_frames_and_back() -> None:
    with filled(open_store("memory://")) as library:
        answer = library.readings("ann", NIGHT, NIGHT + timedelta(hours=3))
        frame, table = answer.to_polars(), answer.to_pandas()
        assert frame.height == len(table) == len(answer) == 1080
        assert frame["timestamp"][0] == table["timestamp"][0] == NIGHT
        assert pa.table(answer).num_rows == 1080
        again: Sequence[object] = (frame, table, answer, answer.to_arrow().to_batches()[0])
        for each in again:
            assert library.write(each, metric="heart_rate").accepted == 1080
        assert library.readings("ann", NIGHT, NIGHT + timedelta(hours=3)) == answer
        assert "1,080 rows" in answer._repr_html_()
        assert "<td>2024-01-15T01:00:00Z</td>" in answer._repr_html_()
        assert repr(answer).startswith("<Answer: 1,080 rows of user_id, timestamp")


def test_refused_rows_are_named_and_the_others_stored() -> None:
    with open_store("memory://") as library:
        frame = {"timestamp": [f"{DAY}T10:00:00Z", f"{DAY}T10:00:01Z"], "heart_rate": [60.0, 900.0]}
        written = library.write(frame, **WHO)
        assert (written.accepted, written.rejected, written.errors[0]["index"]) == (1, 1, 1)
        nothing = library.write(pa.table(frame).slice(1), **WHO)
        assert (nothing.accepted, nothing.rejected, nothing.errors[0]["field"]) == (0, 1, "heart_rate")
        wrong: Any
        for wrong, said in ((7, "frame"), ({"value": [1]}, "metric"), ({"user_id": ["x"]}, "user_id: is given")):
            with pytest.raises(RejectedError, match=said):
                library.write(wrong, user_id="ann")


def test_more_readings_than_one_answer_may_have_come_in_parts(tmp_path: Path) -> None:
    with served(store_url="memory://", max_rows=100) as url, connect(url) as library:
        filled(library)
        found = library.readings("ann", NIGHT, NIGHT + timedelta(hours=3))
        assert found["timestamp"] == [NIGHT + timedelta(seconds=10 * n) for n in range(1080)]
        with pytest.raises(TooManyRowsError):
            library.series("ann", DAY, DAY, interval="1m")


def test_a_file_comes_in_and_a_person_goes_out_by_both_ways(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "day.csv").write_text("Id,Time,Value\nann,2024-01-15 10:00:00,60\nann,2024-01-15 10:00:30,900\n")
    with open_store("memory://") as near, served(store_url="memory://") as url, connect(url) as far:
        for library in (near, far):
            done = library.import_file(folder / "day.csv", tz="UTC")
            assert (done.read, done.written, done.rejected) == (2, 1, 1)
            assert library.import_file(folder).unchanged == 1
            with pytest.raises(StopError, match="No such file"):
                library.import_file(tmp_path / "none.csv")
            path = tmp_path / f"{library is near}.zip"
            assert library.export("ann", path) == path
            with pytest.raises(StopError, match="exists already"):
                library.export("ann", path)
        assert near.import_file(tmp_path / "False.zip").unchanged == 2  # the person and the reading
        for library in (near, far):
            library.put_person("bob", name="Bob")
            both, everybody = tmp_path / f"both-{library is near}", tmp_path / f"all-{library is near}"
            library.export(["bob", "ann", "bob"], both)
            library.export(None, everybody)
            for path in (both, everybody):
                assert library.import_file(path).unchanged == 3, "two people and a reading"
            with pytest.raises(UnknownUserError, match="nobody"):
                library.export(["ann", "eve"], tmp_path / "eve.zip")
        with zipfile.ZipFile(both) as archive:
            assert archive.namelist() == ["bob.zip", "ann.zip"]
        (tmp_path / "empty.csv").write_text("nothing of use\n")
        with pytest.raises(StopError, match=r"empty\.csv"):
            near.import_file(tmp_path / "empty.csv")
    assert sorted(each.name for each in tmp_path.glob("*.zip*")) == ["False.zip", "True.zip"]


def test_a_key_opens_what_it_may(tmp_path: Path) -> None:
    state = AccessFile(access_file(tmp_path))
    _, key = create_key(state, KeyRequest("study", ["read"], None, None))
    state.close()
    with served(store_url=f"duckdb:///{tmp_path / 'pulse.duckdb'}", access="on", state_folder=tmp_path) as url:
        (tmp_path / "key").write_text(key + "\n")
        with open_store(tmp_path / "pulse.duckdb") as owner, connect(url, key_file=tmp_path / "key") as library:
            filled(owner)
            assert library.people()["user_id"] == ["ann", "bob"]
            with pytest.raises(StopError, match="ingest"):
                library.write([{"timestamp": f"{DAY}T09:00:00Z", "heart_rate": 60}], **WHO)
        with pytest.raises(StopError, match="key"):
            connect(url).people()
    with pytest.raises(StopError, match="does not answer"):
        connect(url, key)
    for wrong in ("ftp://x", "http://", "pulse.duckdb"):
        with pytest.raises(RejectedError, match="url"):
            connect(wrong)


def test_a_store_answers_both_questions_and_is_let_go_of(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'pulse.duckdb'}"
    with open_store(url) as library:
        library.store.put_user(User("ann", gender="male", birth_date=date(1990, 1, 1)))
        write(library.store, Reading(TEN, 6100), Reading(TEN, 9000, user_id="bob"))
        start, end = datetime(2023, 1, 1), datetime(2024, 1, 1)
        found = library.query_users(min_age=24, gender="male", min_avg_heart_rate=60.0, date_from=start, date_to=end)
        assert found == ["ann"]
        assert query_users(library.store, None, None, 60, "2023-01-01", date(2023, 1, 15)) == ["bob", "ann"]
        assert library.query_top("bob", start, end) == query_top(library.store, "bob", start, end) == [90.0]
    library.close()
    with open_store(tmp_path / "pulse.duckdb") as again:
        assert again.query_top("ann", "2023-01-15", "2023-01-15", 3, tz="Europe/Berlin") == [61.0]
        assert repr(again) == f"<Library: {tmp_path / 'pulse.duckdb'}>"


def test_a_store_is_named_by_its_path_or_by_the_settings(tmp_path: Path) -> None:
    open_store("pulse.duckdb").close()
    assert (tmp_path / "pulse.duckdb").exists()
    open_store().close()
    assert (tmp_path / "of-settings.duckdb").exists()
    for wrong in ("pulse", "mysql://x/y", "duckdb://pulse.duckdb"):
        with pytest.raises(StopError, match="store URL"):
            open_store(wrong)


def test_a_program_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    code = """
from pulsebase import open_store
library = open_store("pulse.duckdb")
library.write([{"timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}], user_id="ann", device_id="strap")
print(library.people()["readings"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n", "")
    with open_store(tmp_path / "pulse.duckdb") as library:
        assert library.people()["readings"] == [1]


def test_frames_of_libraries_that_are_not_there_are_missed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(pa.table({"user_id": ["ann"]}), {})
    for name, make in (("polars", answer.to_polars), ("pandas", answer.to_pandas)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(StopError, match=f"pip install {name}"):
            make()
        monkeypatch.undo()


def test_progress_is_shown_where_somebody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("readings", None) as tell:
        tell(1, 2)
    assert capsys.readouterr() == ("", "")  # neither a notebook nor a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress("readings", True) as tell:
        tell(1, 2)
    assert "readings" in capsys.readouterr().err
    drawn: list[str] = []
    notebook, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    handle = SimpleNamespace(update=drawn.append)
    monkeypatch.setattr(notebook, "get_ipython", lambda: SimpleNamespace(kernel=object()), raising=False)
    monkeypatch.setattr(of_display, "HTML", str, raising=False)

    def display(first: str, **_: Any) -> SimpleNamespace:
        drawn.append(first)
        return handle

    monkeypatch.setattr(of_display, "display", display, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    with progress("<readings>", None) as tell:
        tell(1, 4)
    assert drawn[0] == "&lt;readings&gt; <progress></progress>"
    assert drawn[1] == '&lt;readings&gt; <progress value="1" max="4"></progress> 25%'
    assert drawn[-1].endswith("100%")


def test_the_package_alone_loads_nothing_and_knows_its_names() -> None:
    code = "import pulsebase, sys; print(pulsebase.__version__, 'duckdb' in sys.modules, 'fastapi' in sys.modules)"
    code += "; pulsebase.open_store; print('duckdb' in sys.modules, 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [pulsebase.__version__, "False", "False", "False", "False"]
    assert set(pulsebase.__all__) <= set(dir(pulsebase))
    told = pydoc.plain(pydoc.render_doc(pulsebase))
    for name in pulsebase.__all__:
        assert getattr(pulsebase, name)
        assert name in told
    for name in dir(Library):
        if not name.startswith("_"):
            assert getattr(Library, name).__doc__, name
    with pytest.raises(AttributeError, match="open_shop"):
        _ = pulsebase.open_shop
    assert (Path(pulsebase.__file__).parent / "py.typed").exists()
