"""Exports of Apple Health as phones have written them, and as somebody might to do harm."""

from __future__ import annotations

import io
import random
import tracemalloc
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract import apple_health
from pulsebase.etl.extract.kinds import APPLE_HEALTH, kind_of
from pulsebase.etl.extract.parts import FileOwner, PassedOver, Remark, SummaryBlock, everybody_in
from pulsebase.etl.transform.apple_health import RECORD_TYPE
from pulsebase.etl.transform.devices import device_id_of
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.timerange import SECOND_US
from tests.support.health_files import apple_export, apple_record, at

BEGIN = at("2018-05-01T08:00:00")


@dataclass
class Read:
    """What a file gave: (device, seconds after the first record, bpm), refusals, remarks, counts, and the damage."""

    rows: list[tuple[str, int, float]] = field(default_factory=list)
    refused: list[tuple[str, int | None]] = field(default_factory=list)
    days: int = 0
    remarks: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    problem: str | None = None


def read(data: bytes) -> Read:
    found = Read()
    owner = FileOwner("ann", None, everybody_in(ZoneInfo("UTC")))
    try:
        for part in apple_health.apple_health(io.BytesIO(data), owner):
            if isinstance(part, Block):
                rows = part.candidates
                times_s = (rows.times_us // SECOND_US - BEGIN).tolist()
                found.rows += zip(rows.device_ids, times_s, rows.values.tolist(), strict=True)
                found.refused += [(error.field, error.index) for error in part.errors]
                found.blocks += 1
            elif isinstance(part, SummaryBlock):
                found.days += len(part.summaries)
            elif isinstance(part, Remark):
                found.remarks.append(part.text)
            elif isinstance(part, PassedOver):
                found.passed_over[part.what] += part.count
    except MalformedError as error:
        found.problem = str(error)
    return found


def record(second: int, source: str, bpm: int = 70) -> str:
    return apple_record(f"2018-05-01 10:00:{second:02} +0200", str(bpm), source=source)


def export(*sources: str | bytes) -> bytes:
    """Records from these sources, a second apart; a source in bytes is put in as it is."""
    texts = [source if isinstance(source, str) else f"@{place}@" for place, source in enumerate(sources)]
    data = apple_export([record(place, text, 60 + place) for place, text in enumerate(texts)])
    for place, source in enumerate(sources):
        if isinstance(source, bytes):
            data = data.replace(f"@{place}@".encode(), source)
    return data


def expected(*names: str) -> list[tuple[str, int, float]]:
    return [(device_id_of(name, "apple"), place, 60.0 + place) for place, name in enumerate(names)]


# --- characters that XML does not allow ------------------------------------------------------------------------------

#: What stands in the file, and what is read.
FORBIDDEN = [
    (b"a\x0bb", "a b"),
    (b"a\x00\x1fb", "a  b"),
    ("a\ufffeb".encode(), "a b"),
    ("a\uffffb".encode(), "a b"),
    (b"a\xed\xa0\x80b", "a b"),
    (b"a\xed\xa0\xbd\xed\xb8\x80b", "a  b"),
    (b"M\xfcller", "Müller"),
    (b"Ann\x92s", "Ann’s"),
    (b"cut \xe2\x80", "cut â€"),
    (b"over \xc0\xaf", "over À¯"),
    (b"a&#11;b", "a b"),
    (b"a&#x0B;b", "a b"),
    (b"a&#xFFFE;b", "a b"),
    (b"a&#xD800;b", "a b"),
    (b"a&#0;b", "a b"),
    (b"a&#99999999999999;b", "a b"),
]
ALLOWED = [
    (b"a&#233;b&#x20AC;", "aéb€"),
    ("Ann’s \u00e9\U0001f600\U0010fffd\ufffd".encode(), "Ann’s é\U0001f600\U0010fffd\ufffd"),
    (b"a &amp; b &lt;Record/> # &#35;", "a & b <Record/> # #"),
]


@pytest.mark.parametrize(("written", "name"), FORBIDDEN, ids=[repr(written) for written, _ in FORBIDDEN])
def test_what_xml_forbids_is_blanked_and_said(written: bytes, name: str) -> None:
    found = read(export("w", written, "w"))
    assert (found.rows, found.problem) == (expected("w", name, "w"), None)
    assert len(found.remarks) == 1


def test_what_xml_allows_is_left() -> None:
    found = read(export(*(written for written, _ in ALLOWED)))
    assert found.rows == expected(*(name for _, name in ALLOWED))
    assert found.remarks == []


@pytest.mark.parametrize("place", [b"</HealthData>\n", b"<HealthData ", b"<ExportDate", b" creationDate"])
def test_forbidden_characters_may_be_anywhere(place: bytes) -> None:
    data = export("w", "w")
    found = read(data.replace(place, b"\x00\x0b" + place, 1) + b"\x1a\x00")
    assert (found.rows, found.problem) == (expected("w", "w"), None)


def test_it_does_not_matter_where_a_piece_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every byte around what a piece might tear, and pieces of a few bytes."""
    every = [*FORBIDDEN, *ALLOWED]
    tricky = (
        ' <Record type="HKOther" sourceName="Tom\'s" value="1">\n  <MetadataEntry key="a" value="b"/>\n </Record>\n'
        "<!-- " + record(1, "comment") + " --><Note><![CDATA[" + record(1, "text") + "]]></Note>\n"
    )
    data = export(*(written for written, _ in every)).replace(b' sourceVersion="5.1"', b"")
    data = data.replace(b' device="&lt;&lt;HKDevice: 0x2831&gt;, name:Apple Watch&gt;"', b"")
    data = data.replace(b"</HealthData>", tricky.encode() + b"</HealthData>")
    whole = read(data)
    assert whole.rows == expected(*(name for _, name in every))
    begin = data.index(b"<Record")
    around = {at + step for written, _ in every for at in [data.index(written)] for step in range(-1, len(written) + 1)}
    monkeypatch.setattr(apple_health, "_PIECE_BYTES", 1 << 18)
    for cut in sorted(around | set(range(data.index(b"Tom's") - 60, data.index(b"<!-- ") + 20))):
        monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", cut)
        found = read(data)
        assert (found.rows, found.problem, found.remarks) == (whole.rows, None, whole.remarks), cut
    for size in (1, 2, 5, 64):
        monkeypatch.setattr(apple_health, "_PIECE_BYTES", size)
        monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", begin)
        found = read(data)
        assert (found.rows, found.problem, found.remarks) == (whole.rows, None, whole.remarks), size
        assert found.passed_over == whole.passed_over


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("ISO-8859-1", "iso-8859-1"),
        ("windows-1252", "cp1252"),
        ("us-ascii", "utf-8"),
        ("UTF-16", "utf-16"),
        ("UTF-16", "utf-16-le"),
        ("UTF-16", "utf-16-be"),
        ("UTF-16", "utf-8"),
        ("ISO-8859-1", "utf-8-sig"),
    ],
)
@pytest.mark.parametrize("doctype", ["<!DOCTYPE HealthData>", "<!DOCTYPE HealthData [<!ELEMENT Me EMPTY>]>"])
def test_a_file_may_be_in_the_encoding_that_it_says(declared: str, codec: str, doctype: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{doctype}\n<HealthData>' + record(0, "Müller", 60)
    data = (text + "</HealthData>").encode(codec)
    found = read(data)
    assert (found.rows, found.problem, found.remarks) == (expected("Müller"), None, [])
    assert kind_of(data) is APPLE_HEALTH


@pytest.mark.parametrize("name", ["unicode_escape", "utf-7", "idna", "punycode", "zip", "cp037", "shift_jis", "utf-32"])
def test_other_encodings_are_refused(name: str) -> None:
    found = read(f'<?xml version="1.0" encoding="{name}"?><HealthData/>'.encode())
    assert found.problem == "the file is in an encoding that is not read; save it as UTF-8"


# --- document types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doctype",
    [
        "",
        "<!DOCTYPE HealthData>",
        '<!DOCTYPE HealthData SYSTEM "HealthKit.dtd">',
        "<!DOCTYPE HealthData SYSTEM 'a>b.dtd'>",
        '<!DOCTYPE HealthData PUBLIC "-//x" "y" [ ] >',
        "<!DOCTYPE HealthData [\n<!ELEMENT Me EMPTY>\n]  \n>",
        '<!DOCTYPE HealthData [<!ENTITY x "]>"><!-- it\'s ]> --><?pi ]>?>]>',
        "<!DOCTYPE HealthData [<!ATTLIST Me x CDATA #REQUIRED <!ELEMENT it's ]>",
        "<!-- <!DOCTYPE HealthData [ --><!DOCTYPE HealthData>",
        "<!-- <HealthData> --><?x <!DOCTYPE?>\n<!DOCTYPE HealthData [<!-- <HealthData> -->]>",
    ],
)
@pytest.mark.parametrize("source", ["w", "a]>b", "<!DOCTYPE HealthData>"])
def test_every_form_of_document_type_is_read_over(doctype: str, source: str) -> None:
    text = f'<?xml version="1.0"?>\n{doctype}\n<HealthData>\n' + record(0, source, 60) + "</HealthData>"
    found = read(text.encode())
    assert (found.rows, found.problem) == (expected(source), None)
    assert read(text.replace("</HealthData>", "<").encode()).problem == f"the file is cut short at line {line_of(text)}"


def line_of(text: str) -> int:
    return text.count("\n") + 1


@pytest.mark.parametrize("part", ["<!--", "<?", "[", "<!DOCTYPE x [", "]", "] ", '"', "'", "<!-- -->", "<", "\0"])
def test_no_beginning_takes_long(part: str) -> None:
    """Whatever a million bytes of it hold; what would be gone over again and again would take hours."""
    many = part * ((1 << 20) // len(part))
    for before in ("", "<!DOCTYPE x [", "<!DOCTYPE x ["):
        assert read((before + many + "<HealthData/>").encode()).rows == []


# --- sources ---------------------------------------------------------------------------------------------------------


def test_sources_whose_names_no_id_may_hold_stay_apart() -> None:
    names = ["Часы Анны", "Телефон", "小明的手表", "Ann's Watch", "Ann’s Watch", "A B", "A-B", " "]
    data = export(*names)
    assert read(data).rows == expected(*names)
    assert len({device for device, *_ in read(data).rows}) == len(names)
    assert read(export(*reversed(names))).rows == expected(*reversed(names))


def test_a_name_without_end_is_refused() -> None:
    found = read(export("w", "x" * 1_001, "x" * 1_000))
    assert found.refused == [("sourceName", 2)]
    assert [second for _, second, _ in found.rows] == [0, 2]
    under_one = FileOwner("ann", "watch", everybody_in(ZoneInfo("UTC")))
    parts = list(apple_health.apple_health(io.BytesIO(export("x" * 2_000)), under_one))
    assert [part.total for part in parts if isinstance(part, Block) and not part.errors] == [1]


def test_records_with_long_texts_come_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apple_health, "_BLOCK_BYTES", 4_000)
    monkeypatch.setattr(apple_health, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", 1_000)
    found = read(export(*(f"w{place} {'x' * 900}" for place in range(40))))
    assert len(found.rows) == 40
    assert found.blocks > 8


# --- what is passed over ---------------------------------------------------------------------------------------------

OTHERS = """
 <Record type="HKCategoryTypeIdentifierSleepAnalysis" sourceName="Tom's" value="HKCategoryValueSleepAnalysisAsleep"/>
 <Record type='HKOther' sourceName="w"><InstantaneousBeatsPerMinute bpm="62" time="7:18:25.12 AM"/></Record>
 <Record type='HKSingle' a='">' b="c"/><Record type="HKSingle" a='"/>' b="c">
  <MetadataEntry key="a" value='"/>'/></Record>
 <Record value="1"/>
 <Correlation type="HKCorrelationTypeIdentifierBloodPressure">
  <Record type="HKQuantityTypeIdentifierBloodPressureSystolic" unit="mmHg" value="120"/>
 </Correlation>
 <Workout workoutActivityType="HKWorkoutActivityTypeRunning" duration="30">
  <WorkoutEvent type="HKWorkoutEventTypePause"/><MetadataEntry key="a" value="b"/>
 </Workout>
 <ActivitySummary dateComponents="2018-05-01"/>
 <ActivitySummary dateComponents="2018-05-02"/>
"""
COUNTED = {
    "HKQuantityTypeIdentifierStepCount": 3,
    "HKCategoryTypeIdentifierSleepAnalysis": 1,
    "InstantaneousBeatsPerMinute": 1,
    "HKSingle": 2,
    "HKOther": 1,
    "records without a type": 1,
    "Correlation": 1,
    "HKQuantityTypeIdentifierBloodPressureSystolic": 1,
    "Workout": 1,
    "ActivitySummary": 2,
}


def test_what_is_not_read_is_counted_by_its_type() -> None:
    data = apple_export([record(0, "w", 60), record(1, "w", 61), OTHERS + record(2, "w", 62)])
    found = read(data)
    assert (found.rows, found.problem, found.passed_over) == (expected("w", "w", "w"), None, COUNTED)
    theirs = Counter(each.get("type") for each in ET.fromstring(data).iter("Record"))
    ours = {kind: count for kind, count in found.passed_over.items() if kind.startswith("HK")}
    assert ours == {kind: n for kind, n in theirs.items() if kind and kind != "HKQuantityTypeIdentifierHeartRate"}


def test_a_damaged_file_says_what_was_passed_over_before() -> None:
    assert read(apple_export([record(0, "w")])[:-20]).passed_over == {"HKQuantityTypeIdentifierStepCount": 1}


def test_types_without_end_are_counted_together() -> None:
    kinds = [f'<Record type="HK{n}" value="1"/><Record value="1" type="HK{n}"/>' for n in range(2_000)]
    found = read(apple_export([*kinds, f'<Record type="{"x" * 5_000}\x07"/>']))
    assert len(found.passed_over) <= 501
    assert sum(found.passed_over.values()) == 2 * 2_000 + 2_001 + 1
    assert all(name.isprintable() and len(name) <= 100 for name in found.passed_over)


@pytest.mark.parametrize(
    "odd",
    [
        '<!-- <Record type="X" a="b" --> </Record>',
        '<!-- <Record type="X" a="--> "/>',
        '<?pi <Record type="X" a="?> "/>',
        '<![CDATA[ <Record type="X" a="]]> "/>',
        '<!-- <MetadataEntry a="--> "/>',
        "<Note a='<' b=\"",
    ],
)
def test_the_end_of_a_comment_is_not_taken_for_that_of_a_tag(odd: str) -> None:
    """Well-formed all but the last, where the line is named."""
    head = record(0, "w", 60).removesuffix(" </Record>\n")
    tail = "" if odd.endswith(" </Record>") else "</Record>\n"
    found = read(apple_export([head + odd + tail, record(1, "w", 61)]))
    whole = not odd.startswith("<Note")
    assert (found.rows, found.problem is None) == (expected("w", "w") if whole else expected("w"), whole)


# --- attacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "Record", "Correlation", f'Record type="{RECORD_TYPE}"'])
def test_elements_in_one_another_take_no_memory(name: str) -> None:
    data = apple_export([record(0, "w", 60)]).removesuffix(b"</HealthData>\n") + f"<{name}>".encode() * 200_000
    tracemalloc.start()
    found = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.rows == expected("w")
    assert (found.problem or "").startswith("the file is damaged at line ")
    assert (found.problem or "").endswith("elements without an end")
    assert peak < 64 << 20


def test_changes_at_random_bring_no_more_than_a_message() -> None:
    data = apple_export([record(n, source) for n, source in enumerate(["w", "Ann’s", "心", "a&#11;b"])] + [OTHERS])
    pieces = [
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"&#x",
        b"&",
        b";",
        b"<",
        b">",
        b'"',
        b"'",
        b"\xed\xa0\x80",
        b"\xff",
    ]
    pieces += [
        b"<!DOCTYPE",
        b"<Record type=",
        b"</Record>",
        b"</HealthData>",
        b"\0",
        b"=",
        b"<?xml encoding='utf-16'?>",
    ]
    dice = random.Random(5)
    for _ in range(1_500):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 5)):
            begin = dice.randrange(len(changed))
            end = begin + dice.choice([0, 0, 1, 1, 5, 100])
            changed[begin:end] = dice.choice([*pieces, bytes([dice.randrange(256)]), changed[begin:end] * 2])
        found = read(bytes(changed[: dice.randint(1, len(changed))] if dice.random() < 0.2 else changed))
        assert len(found.rows) <= 8
