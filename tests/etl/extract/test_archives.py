"""Tar archives, and archives in archives, whole, over a real ingestor and the memory store."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsebase.etl.extract import packed, tars, zips
from pulsebase.etl.extract.archives import files_in
from pulsebase.etl.extract.packed import Budget
from pulsebase.ingest.blocks import MalformedError
from tests.etl.desk import Desk
from tests.etl.test_importer import SAMPLES, each_kind_of_file, of_ann
from tests.support import fit
from tests.support.health_files import at, takeout_csv, takeout_heart_rate, tarred, zipped

FILES = {
    "Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json": takeout_heart_rate(SAMPLES[:200]),
    "Takeout/letter.txt": b"Dear diary",
    "Takeout/Fitbit/Global Export Data/heart_rate-2020-05-02.json": takeout_heart_rate(SAMPLES[200:]),
}
#: What does not pack: more than is read at a time.
NOISE = random.Random(3).randbytes(1 << 20)
FORMS = {"ustar": tarfile.USTAR_FORMAT, "GNU": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def contents(data: bytes) -> dict[str, bytes]:
    return {file.name: read_whole(file) for file in files_in("a", io.BytesIO(data), Budget(1 << 30))}


def read_whole(file: packed.PackedFile) -> bytes:
    return b"".join(iter(lambda: file.read(1 << 16), b""))


@each_form
@pytest.mark.parametrize("pack", [False, True], ids=["tar", "tgz"])
def test_a_tar_is_read_file_by_file(desk: Desk, form: int, pack: bool) -> None:
    results = desk.bring(tarred(FILES, form=form, pack=pack), "takeout.tgz")
    assert [(result.name, result.written, result.problem) for result in results] == [
        ("takeout.tgz/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json", 200, None),
        ("takeout.tgz/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-02.json", 300, None),
    ]
    assert desk.rows == of_ann("takeout", SAMPLES)


@each_form
@pytest.mark.parametrize("piece_bytes", [7, 512, 1 << 18])
def test_a_tar_holds_what_the_standard_librarys_reader_finds(
    monkeypatch: pytest.MonkeyPatch, form: int, piece_bytes: int
) -> None:
    for module in (packed, tars):
        monkeypatch.setattr(module, "PIECE_BYTES", piece_bytes)
    dice = random.Random(1)
    files = {
        f"{'long/' * length}{length}": dice.randbytes(dice.choice([0, 1, 511, 512, 513, 3000])) for length in (1, 20)
    }
    if form != tarfile.USTAR_FORMAT:  # which has no place for them
        files |= {"x" * 3000: b"more", "Пульс/心拍.json": b"[]"}
    data = tarred(files, form=form)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {f"a/{member.name}": archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert contents(data) == found == {f"a/{name}": data for name, data in files.items()}


def test_folders_and_links_in_a_tar_are_no_files() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"odd{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("file")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    assert contents(out.getvalue()) == {"a/file": b"abc"}


def test_names_in_a_tar_are_names_alone(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../heart_rate.json", "/etc/heart_rate.json"]
    results = desk.bring(tarred({name: takeout_heart_rate(SAMPLES[:1]) for name in names}), "evil.tar")
    assert [result.name for result in results] == [f"evil.tar/{name}" for name in names]
    assert [(result.written, result.repeated) for result in results] == [(1, 0), (0, 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_tar_cut_short_gives_its_good_part_and_says_so(desk: Desk) -> None:
    whole = tarred(FILES)
    first, second, archive = desk.bring(whole[: whole.index(b"heart_rate-2020-05-02.json") + 9000], "takeout.tar")
    assert (first.written, first.problem) == (200, None)
    assert (second.written > 0, second.problem) == (True, "the archive is cut short inside this file")
    assert (archive.name, archive.problem) == ("takeout.tar", "the archive is cut short: its end is missing")
    assert desk.rows == of_ann("takeout", SAMPLES[: 200 + second.written])


def test_a_packed_tar_cut_short_gives_its_good_part_and_says_so(desk: Desk) -> None:
    data = tarred(FILES | {"noise": NOISE}, pack=True)
    *read, archive = desk.bring(data[:-5000], "takeout.tgz")
    assert [(result.written, result.problem) for result in read] == [(200, None), (300, None)]
    assert (archive.name, archive.problem) == ("takeout.tgz", "the gzip archive is cut short")


def test_a_tar_without_its_end_is_cut_short(desk: Desk) -> None:
    data = tarred({"heart_rate-2020-05-01.json": takeout_heart_rate(SAMPLES)}).rstrip(b"\0")
    data += bytes(-len(data) % 512)
    assert [result.problem for result in desk.bring(data)] == [None, "the archive is cut short: its end is missing"]


def test_a_damaged_header_is_not_the_end_of_a_tar(desk: Desk) -> None:
    data = bytearray(tarred(FILES))
    data[data.index(b"Takeout/letter.txt") + 3] ^= 1
    results = desk.bring(bytes(data), "takeout.tar")
    assert [(result.written, result.problem) for result in results] == [
        (200, None),
        (0, "the archive is damaged: there is no file where one should begin"),
    ]


def test_a_checksum_behind_the_end_of_a_tar_is_checked(desk: Desk) -> None:
    data = bytearray(tarred(FILES | {"noise": NOISE}, pack=True))
    data[-8] ^= 1
    results = desk.bring(bytes(data))
    assert [result.problem for result in results] == [None, None, "the gzip archive is damaged"]


@pytest.mark.parametrize(
    ("kind", "said"), [(b"L", b"x" * (2 << 20)), (b"x", b"9" * 40 + b" path=a\n"), (b"x", b"path=a"), (b"S", b"")]
)
def test_what_is_said_of_a_file_in_a_tar_has_an_end(desk: Desk, kind: bytes, said: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.size = kind, len(said)
    data = member.tobuf(tarfile.GNU_FORMAT) + said + bytes(-len(said) % 512)
    (result,) = desk.bring(data + bytes(1024))
    assert (result.problem or "").startswith("the archive ")


# --- archives in archives -------------------------------------------------------------------------------------------

PACKS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": zipped,
    "streamed zip": lambda files: zipped(files, streamed=True),
    "stored zip": lambda files: zipped(files, method=zipfile.ZIP_STORED),
    "tar": tarred,
    "tgz": lambda files: tarred(files, pack=True),
}


@pytest.mark.parametrize("inner", PACKS)
@pytest.mark.parametrize("outer", PACKS)
@pytest.mark.parametrize("piece_bytes", [50, 1 << 18])
def test_an_archive_in_an_archive_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, inner: str, outer: str, piece_bytes: int
) -> None:
    for module in (packed, tars, zips):
        monkeypatch.setattr(module, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(zips, "_BACK_BYTES", 2 * piece_bytes)
    files = dict(FILES)
    last = files.popitem()
    data = PACKS[outer]({"deep/inner": PACKS[inner](files), last[0]: last[1]})
    results = desk.bring(data, "outer")
    assert [(result.name, result.written, result.problem) for result in results] == [
        ("outer/deep/inner/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json", 200, None),
        ("outer/Takeout/Fitbit/Global Export Data/heart_rate-2020-05-02.json", 300, None),
    ]
    assert desk.rows == of_ann("takeout", SAMPLES)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_deeper_archives_are_given_as_files(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    deepest = pack({"file": b"abc"})
    assert contents(pack({"x": pack({"y": deepest, "z": b"def"})})) == {"a/x/y": deepest, "a/x/z": b"def"}


@pytest.mark.parametrize(("pack", "before_name"), [(zipped, 30), (tarred, 0)])
def test_a_damaged_archive_in_an_archive_costs_itself_alone(
    desk: Desk, pack: Callable[[dict[str, bytes]], bytes], before_name: int
) -> None:
    inner = bytearray(pack(FILES))
    inner[inner.index(b"Takeout/letter.txt") - before_name] ^= 0xFF
    data = zipped({"inner": bytes(inner), "heart_rate-2020-05-02.json": takeout_heart_rate(SAMPLES[200:])})
    *_, broken, last = desk.bring(data, "outer.zip")
    assert broken.name.startswith("outer.zip/inner")
    assert "damaged" in (broken.problem or "")
    assert (last.written, last.problem) == (300, None)


def test_a_bomb_in_an_archive_is_put_down_by_the_size_of_the_outer_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each archive packs to no less than a part in 250, both together do."""
    monkeypatch.setattr(packed, "RATIO_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(packed, "MOST_RATIO", 1100)
    inner = zipped({f"{n}.json": bytes(1 << 20) for n in range(20)})
    assert desk.bring(inner)[0].problem == "holds no file that is read"
    tracemalloc.start()
    *_, last = desk.bring(zipped({"a.zip": inner * 3}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last.problem == "it unpacks to more than 1100 times its size"
    assert peak < 16 << 20


def test_files_are_counted_over_all_that_an_archive_holds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MOST_FILES", 5)
    inner = zipped({f"{n}.json": takeout_heart_rate([SAMPLES[n]]) for n in range(3)})
    results = desk.bring(tarred({"a.zip": inner, "b.zip": inner}), "t")
    assert [result.written for result in results] == [1, 1, 1, 0]
    assert results[-1].problem == "the archive has more than 5 files"


def test_what_is_unpacked_in_archives_is_bounded(desk: Desk) -> None:
    desk.limit_bytes = 30_000
    results = desk.bring(zipped({"a.zip": zipped(FILES)}))
    assert [result.problem for result in results][-1] == "unpacked it is larger than 30000 bytes"


@pytest.mark.parametrize("stated", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 44])
def test_a_size_beyond_all_files_is_a_damage(desk: Desk, tmp_path: Path, stated: int) -> None:
    first = zipped({"heart_rate-2020-05-01.json": takeout_heart_rate(SAMPLES[:200])})
    entry = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 45, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, 20)
    entry += b"x" + struct.pack("<HHQQ", 1, 16, stated, stated)
    data = first[: first.index(b"PK\x01\x02")] + entry + b"rest"
    (tmp_path / "huge.zip").write_bytes(data)
    results = desk.bring(data, "huge.zip")
    assert results[0].written == 200
    assert "larger in it than files can be" in str([result.problem for result in results])
    with (tmp_path / "huge.zip").open("rb") as file, pytest.raises(MalformedError, match="larger"):
        list(files_in("huge.zip", file, Budget(1 << 30)))


def test_no_damage_brings_the_importer_down(desk: Desk) -> None:
    files = each_kind_of_file()
    whole = [*files.values(), *map(gzip.compress, files.values()), zipped(files), zipped(files, streamed=True)]
    whole += [PACKS[outer]({"a": PACKS[inner](FILES)}) for outer in PACKS for inner in PACKS]
    dice = random.Random(11)
    for data in whole:
        for _ in range(25):
            damaged = bytearray(data)
            for _ in range(dice.randint(0, 8)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            cut = damaged[: dice.randint(1, len(damaged))] if dice.random() < 0.5 else damaged
            assert desk.bring(bytes(cut)), "every file has a result"


def test_a_takeout_in_parts_with_files_of_both_generations_is_read_whole(desk: Desk) -> None:
    """What both generations have stays under the device that each of them names."""
    older = {"Takeout/Fitbit/Global Export Data/heart_rate-2020-05-01.json": takeout_heart_rate(SAMPLES[:200])}
    newer = {
        "Takeout/Fitbit/Physical Activity_GoogleData/heart_rate_2020-05-01.csv": takeout_csv(
            [("2020-05-01T10:00:00Z", "71", "Charge 6"), ("2020-05-01T10:00:05Z", "72.0", "Charge 6")]
        ),
        "Takeout/Fitbit/Physical Activity_GoogleData/daily_resting_heart_rate.csv": takeout_csv(
            [("2020-05-01T00:00:00Z", "55", "Charge 6")]
        ),
    }
    parts = [zipped(older), tarred(newer, pack=True)]
    for _ in range(2):
        names = [f"takeout-001.{ending}" for ending in ("zip", "tgz")]
        results = [result for name, data in zip(names, parts, strict=True) for result in desk.bring(data, name)]
        assert [result.problem for result in results] == [None, None, None]
    by_device = [device for _, device, *_ in desk.rows]
    assert (by_device.count("takeout"), by_device.count("Charge-6")) == (200, 2)
    assert [result.unchanged for result in results] == [200, 2, 0]


def test_garmins_account_export_is_read_through_both_archives(desk: Desk) -> None:
    start = at("2024-01-15T10:00:00")
    inner = zipped(
        {"ann_1.fit": fit.activity([(start, 70), (start + 1, 71)]), "ann_2.fit": fit.activity([(start + 2, 72)])}
    )
    outer = zipped({"DI_CONNECT/DI-Connect-Uploaded-Files/UploadedFiles_0-_Part1.zip": inner})
    results = desk.bring(outer, "export.zip")
    assert [(result.kind, result.written) for result in results] == [("FIT", 2), ("FIT", 1)]
    assert [row[2:4] for row in desk.rows] == [(start, 70.0), (start + 1, 71.0), (start + 2, 72.0)]
