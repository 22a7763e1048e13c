"""What commands print of other people's texts: a terminal that reads it obeys nothing in it."""

from __future__ import annotations

import io
import logging
import unicodedata
import zipfile
from pathlib import Path

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pulsebase.cli.logs import ConsoleLines, JsonLines
from pulsebase.cli.output import Output, plain
from tests.support import process

EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj\u2066\r\b\x7f\u2028b\x00"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj\u2066\r\x08\x7f\u2028b\x00"


def obeyed(text: str) -> list[str]:
    return [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") and char != "\n"]


def test_what_a_terminal_obeys_is_shown_as_an_escape() -> None:
    assert plain(EVIL) == SHOWN
    assert plain("one\ntwo") == r"one\ntwo"
    assert plain("one\ntwo", kept="\n") == "one\ntwo"
    assert plain("\udc9b") == r"\udc9b"
    harmless = "Zoë Müller ½ 心拍 👩\u200d⚕️ a\u200cb"
    assert plain(harmless) == harmless


@pytest.mark.parametrize("form", ["text", "styled", "cell", "bar"])
def test_no_way_to_the_console_lets_it_through(form: str) -> None:
    out = Output(file=io.StringIO())
    if form == "text":
        out.print(f"{EVIL}\nnext", markup=False, highlight=False, soft_wrap=True)
    elif form == "styled":
        out.print(Text(EVIL))
    elif form == "cell":
        table = Table("name")
        table.add_row(Text(EVIL))
        out.print(table)
    else:
        with Progress(TextColumn("{task.description}", markup=False), console=out) as bar:
            bar.add_task(EVIL)
    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert "0;own" in said
    assert obeyed(said) == []
    assert (r"b\x00\nnext" in said) is (form == "text")


def test_lines_of_an_error_pass_for_no_line_of_ours() -> None:
    out = Output(file=io.StringIO())
    out.print_error("pulsebase: x\nThe store is sound.")
    assert out.file.getvalue() == "pulsebase: x\n  The store is sound.\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("lines", [ConsoleLines(), JsonLines()])
def test_a_line_of_the_log_is_one(lines: logging.Formatter) -> None:
    record = logging.LogRecord("pulsebase", logging.WARNING, "", 0, "said: %s", (f"{EVIL}\nx",), None)
    said = lines.format(record)
    assert obeyed(said) == []
    assert "\n" not in said


def test_names_in_an_archive_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("\x1b[2J\u202egnp\nThe store is sound.json", b"{]")
        archive.writestr("\x9b31m/heart_rate-2020-05-01.json", b'[{"dateTime": "x"}]')
    place = process.Place(tmp_path / "place")
    done = place.run("import", str(tmp_path / "export.zip"), "--user", "ann")
    said = done.stdout + done.stderr
    assert obeyed(said) == []
    assert r"\x9b31m" in said
    assert "\nThe store is sound" not in said
