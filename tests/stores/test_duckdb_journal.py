"""A journal belongs to a store and to a time of it. What does not fit is refused, and the advice given helps."""

from __future__ import annotations

import re
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pulsebase.model.errors import StopError, StoreCorruptError, StoreVersionError
from pulsebase.model.users import User
from pulsebase.stores.duckdb.journal import journal
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, at, write
from tests.support.journal_files import (
    HEADER_BYTES,
    Row,
    as_version_1,
    columns_of,
    commits_of,
    files_of,
    frame_of,
    head_of,
    list_of,
    listed,
    payload_of,
    rewrite_list,
)

BY_HAND = DuckdbOptions(merge_interval_s=3600, memory_limit="256MiB", threads=1)
TEN = at("2024-03-01T10:00:00")
NAME = "store.duckdb"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def a_file_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FILE_BYTES", 1)


def opened(folder: Path) -> DuckdbStore:
    return DuckdbStore(folder / NAME, BY_HAND)


def journal_of(folder: Path) -> Path:
    return folder / f"{NAME}.journal"


def put(store: DuckdbStore, *numbers: int, user_id: str = "ann") -> None:
    """A commit for each number, which is time and value."""
    for number in numbers:
        write(store, Reading(TEN + number, 6000 + number, user_id=user_id))


def numbers_in(folder: Path) -> list[int]:
    """What a store that is opened here holds, which is sound."""
    store = opened(folder)
    try:
        found = sorted(time_us - TEN for time_us in store.stored()["time_us"].to_pylist())
        assert store.check().problems == ()
        return found
    finally:
        store.close()


def refusal(folder: Path, kind: type[StopError] = StoreCorruptError) -> str:
    """Why the store is not opened; nothing was changed by that."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(kind) as caught:
        opened(folder)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert before == after
    return str(caught.value)


def follow(said: str, folder: Path) -> None:
    """Move away what a refusal names, as somebody would who goes by its words alone."""
    away = folder.with_name("away")
    away.mkdir(exist_ok=True)
    advice = re.search(r"move (.*) away", said)
    assert advice, said
    if advice[1] in ("it", "these"):
        places = [Path(text) for text in re.findall(r"/\S+?(?=[:,]? )", said.partition("; ")[0] + " ")]
    else:
        places = [Path(text) for text in re.findall(r"/\S+", advice[1])]
        for name in re.findall(r"(?<!/)\b\d{20}\.journal", advice[1]):
            higher = "the files of higher numbers" in advice[1]
            places += [
                each for each in files_of(journal_of(folder)) if each.name == name or (higher and each.name > name)
            ]
    assert places, said
    for place in places:
        if place.exists():
            shutil.move(place, away / f"{len(list(away.iterdir()))}-{place.name}")


def goes_on(folder: Path, expected: list[int]) -> None:
    """The store opens, holds this, takes more, and holds that after the next start too."""
    assert numbers_in(folder) == expected
    store = opened(folder)
    put(store, 900)
    after_a_kill = copy_as_killed(folder, folder.with_name("after-a-kill"))
    store.close()
    for each in (after_a_kill, folder):
        assert numbers_in(each) == [*expected, 900]


def copy_as_killed(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.lock"))
    return to


@pytest.fixture
def killed(folder: Path) -> Path:
    """Merged 0 and 1; 2, 3, 4 in a file each; killed."""
    store = opened(folder.with_name("running"))
    put(store, 0, 1)
    store.merge()
    put(store, 2, 3)
    put(store, 4, user_id="bob")
    copy_as_killed(folder.with_name("running"), folder)
    store.close()
    return folder


@pytest.fixture
def closed(killed: Path) -> Path:
    """The same after a clean end."""
    opened(killed).close()
    store = opened(killed)
    put(store, 5)
    store.close()
    return killed


# --- Whose it is ----------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Another store, whose numbers would go on where those of `killed` end."""
    store = opened(tmp_path / "foreign")
    put(store, *range(500, 510))
    store.close()
    return tmp_path / "foreign"


@pytest.mark.parametrize("with_list", [True, False])
def test_the_journal_of_another_store_is_not_taken_for_ours(killed: Path, foreign: Path, with_list: bool) -> None:
    shutil.rmtree(journal_of(killed))
    list_of(journal_of(killed)).unlink()
    shutil.copytree(journal_of(foreign), journal_of(killed))
    if with_list:
        shutil.copy(list_of(journal_of(foreign)), list_of(journal_of(killed)))
    said = refusal(killed)
    assert "another store" in said
    follow(said, killed)
    goes_on(killed, [0, 1])


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_another_store_among_ours_is_refused_and_goes_alone(
    killed: Path, foreign: Path, version: int
) -> None:
    if version == 1:
        as_version_1(journal_of(foreign))
    shutil.copy(files_of(journal_of(foreign))[5], journal_of(killed))  # the next number
    follow(refusal(killed), killed)
    goes_on(killed, [0, 1, 2, 3, 4])


def test_a_file_of_another_store_in_the_place_of_ours_is_refused(killed: Path, foreign: Path) -> None:
    ours = files_of(journal_of(killed))[-1]
    shutil.copy(files_of(journal_of(foreign))[4], ours)
    said = refusal(killed)
    assert str(ours) in said
    assert "another file" in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3])


def test_a_file_of_the_version_before_from_another_store_is_refused_also_without_a_list(
    killed: Path, foreign: Path
) -> None:
    as_version_1(journal_of(foreign))
    shutil.rmtree(journal_of(killed))
    list_of(journal_of(killed)).unlink()
    journal_of(killed).mkdir()
    shutil.copy(files_of(journal_of(foreign))[2], journal_of(killed))
    follow(refusal(killed), killed)
    goes_on(killed, [0, 1])


# --- Of which time it is --------------------------------------------------------------------------------------------


def older(folder: Path, change: Callable[[DuckdbStore], object]) -> Path:
    """A copy of the database from before a change; the rest is of after it."""
    before = folder.with_name("before")
    store = opened(folder)
    store.settle()
    store.backup(before)
    put(store, 10)
    change(store)
    put(store, 11)
    store.close()
    log = folder / f"{NAME}.wal"
    log.unlink(missing_ok=True)
    shutil.copy(before / NAME, folder / NAME)
    return before


def _merged(store: DuckdbStore) -> None:
    put(store, 6, 7, user_id="eve")
    store.settle()


@pytest.mark.parametrize("change", [_merged, lambda store: store.put_user(User("zoe", "Zoe"))], ids=["merge", "person"])
@pytest.mark.parametrize("list_is_there", [True, False])
def test_an_older_database_under_a_newer_journal_is_refused(
    killed: Path, change: Callable[[DuckdbStore], object], list_is_there: bool
) -> None:
    before = older(killed, change)
    if not list_is_there:
        list_of(journal_of(killed)).unlink()
    said = refusal(killed)
    assert "later state of the database" in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3, 4])
    goes_on(before, [0, 1, 2, 3, 4])


def test_an_older_database_over_a_journal_that_was_let_go_of_is_refused(killed: Path) -> None:
    older(killed, lambda store: store.settle())
    store_list = listed(journal_of(killed))
    assert store_list["base_seq"] > 5
    for path in files_of(journal_of(killed)):
        path.unlink()
    rewrite_list(journal_of(killed), files=[], closed=True, acknowledged_seq=store_list["base_seq"])
    said = refusal(killed)
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3, 4])


def test_a_backup_restored_whole_or_with_an_emptied_journal_opens(killed: Path) -> None:
    older(killed, _merged)
    journal_folder = journal_of(killed)
    shutil.rmtree(journal_folder)
    list_of(journal_folder).unlink()
    journal_folder.mkdir()
    goes_on(killed, [0, 1, 2, 3, 4])


def test_a_copy_and_its_original_both_go_on_and_do_not_take_each_others_files(killed: Path, tmp_path: Path) -> None:
    twin = copy_as_killed(killed, tmp_path / "twin")
    for folder, number in ((killed, 20), (twin, 30)):
        store = opened(folder)
        put(store, number)
        store.close()
        assert numbers_in(folder) == [0, 1, 2, 3, 4, number]
        store = opened(folder)
        put(store, number + 1)
        store.close()
    # The database of one under the journal of the other, merged in between.
    mixed = copy_as_killed(killed, tmp_path / "mixed")
    shutil.rmtree(journal_of(mixed))
    shutil.copytree(journal_of(twin), journal_of(mixed))
    shutil.copy(list_of(journal_of(twin)), list_of(journal_of(mixed)))
    said = refusal(mixed)
    follow(said, mixed)
    goes_on(mixed, [0, 1, 2, 3, 4, 20])
    # A file of the one over that of the other.
    shutil.copy(files_of(journal_of(twin))[-1], journal_of(killed))
    said = refusal(killed)
    assert "another file" in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3, 4, 20])  # 21 was in the file that was overwritten
    goes_on(twin, [0, 1, 2, 3, 4, 30, 31])


def test_a_file_that_was_moved_away_comes_back_only_while_nothing_took_its_place(killed: Path, tmp_path: Path) -> None:
    away = tmp_path / "away.journal"
    newest = files_of(journal_of(killed))[-1]
    newest.rename(away)
    list_of(journal_of(killed)).unlink()
    assert len(numbers_in(copy_as_killed(killed, tmp_path / "looked"))) == 4
    shutil.copy(away, journal_of(tmp_path / "looked") / newest.name)
    goes_on(tmp_path / "looked", [0, 1, 2, 3, 4])

    store = opened(killed)
    put(store, 40, 41)
    store.close()
    shutil.copy(away, newest)
    said = refusal(copy_as_killed(killed, tmp_path / "again"))
    assert "another file" in said


# --- What must be there ---------------------------------------------------------------------------------------------


def without_the_newest(folder: Path) -> None:
    files_of(folder)[-1].unlink()


def without_the_first_needed(folder: Path) -> None:
    (folder / f"{2:020d}.journal").unlink()


def without_one_between(folder: Path) -> None:
    (folder / f"{3:020d}.journal").unlink()


def without_all(folder: Path) -> None:
    shutil.rmtree(folder)


def without_the_last_commit(folder: Path) -> None:
    path = files_of(folder)[-1]
    path.write_bytes(path.read_bytes()[:HEADER_BYTES])


def with_half_a_header(folder: Path) -> None:
    path = files_of(folder)[-1]
    path.write_bytes(path.read_bytes()[:30])


def with_a_list_that_was_changed(folder: Path) -> None:
    path = list_of(folder)
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")


def with_a_byte_of_a_header_changed(folder: Path) -> None:
    path = files_of(folder)[-1]
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)


def under_another_number(folder: Path) -> None:
    path = files_of(folder)[-1]
    path.rename(path.with_name(f"{77:020d}.journal"))


@pytest.mark.parametrize(
    ("damage", "said", "left"),
    [
        (without_the_newest, "is missing", [0, 1, 2, 3, 4]),
        (without_the_first_needed, "is missing", [0, 1]),
        (without_one_between, "is missing", [0, 1, 2]),
        (without_all, "is missing", [0, 1]),
        (without_the_last_commit, "has lost the readings 5 to 6", [0, 1, 2, 3, 4]),
        (with_half_a_header, "bytes from 0 on", [0, 1, 2, 3, 4]),
        (with_a_list_that_was_changed, "is not what was written", [0, 1, 2, 3, 4, 5]),
        (with_a_byte_of_a_header_changed, "bytes from 0 on", [0, 1, 2, 3, 4]),
        (under_another_number, "was called", [0, 1, 2, 3, 4]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_gone_is_noticed_and_can_be_done_without(
    closed: Path, damage: Callable[[Path], None], said: str, left: list[int]
) -> None:
    intact = copy_as_killed(closed, closed.with_name("intact"))
    damage(journal_of(closed))
    found = refusal(closed)
    assert said in found
    follow(found, closed)
    goes_on(closed, left)
    goes_on(intact, [0, 1, 2, 3, 4, 5])


def test_the_newest_file_is_missed_after_a_kill_too(killed: Path) -> None:
    without_the_newest(journal_of(killed))
    said = refusal(killed)
    assert "it held the readings from number 4" in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3])


def test_merged_files_may_be_missing(closed: Path) -> None:
    store = opened(closed)
    store.merge()
    store.close()
    for path in files_of(journal_of(closed)):
        path.unlink()
    goes_on(closed, [0, 1, 2, 3, 4, 5])


def test_files_of_other_names_are_left_alone(killed: Path) -> None:
    folder = journal_of(killed)
    others = [folder / name for name in (".DS_Store", "00000000000000000002.journal~", "notes.txt", "._0.journal")]
    for other in others:
        other.write_text("not ours")
    (folder / "lost+found").mkdir()
    store = opened(killed)
    store.settle()  # lets go of every file
    put(store, 5)
    store.backup(killed.with_name("copy"))
    store.close()
    assert all(other.read_text() == "not ours" for other in others)
    goes_on(killed, [0, 1, 2, 3, 4, 5])
    goes_on(killed.with_name("copy"), [0, 1, 2, 3, 4, 5])


def test_a_journal_file_without_its_number_is_refused(killed: Path) -> None:
    (journal_of(killed) / "x.journal").write_text("whatever")
    said = refusal(killed)
    assert "x.journal" in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3, 4])


# --- Versions -------------------------------------------------------------------------------------------------------


def as_the_version_before(folder: Path) -> None:
    """The database too."""
    as_version_1(journal_of(folder))
    with duckdb.connect(str(folder / NAME)) as database:
        for column in ("merged_file", "changes"):
            database.execute(f"ALTER TABLE state DROP COLUMN {column}")
        database.execute("ALTER TABLE users DROP COLUMN name_folded")
        for view in ("vital_signs", "vital_signs_1h", "vital_signs_1d"):
            database.execute(f"DROP VIEW {view}")
        for table in ("metrics", "annotations"):
            database.execute(f"DROP TABLE {table}")
        database.execute("UPDATE meta SET value = '3' WHERE key = 'schema_version'")


@pytest.mark.parametrize("cut", [0, 5, 30])
def test_a_store_of_the_version_before_is_brought_forward(closed: Path, cut: int) -> None:
    as_the_version_before(closed)
    newest = files_of(journal_of(closed))[-1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size - cut])
    expected = [0, 1, 2, 3, 4] + ([] if cut else [5])
    store = opened(closed)
    put(store, 6)
    killed_while_unmerged = copy_as_killed(closed, closed.with_name("unmerged"))
    store.merge()
    killed_after_a_merge = copy_as_killed(closed, closed.with_name("merged"))
    store.close()
    for folder in (killed_while_unmerged, killed_after_a_merge, closed):
        goes_on(folder, [*expected, 6])


def test_what_is_damaged_in_a_file_of_the_version_before_is_refused(closed: Path) -> None:
    as_the_version_before(closed)
    newest = files_of(journal_of(closed))[-1]
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="bytes from 0 on") as caught:
        opened(closed)
    follow(str(caught.value), closed)
    goes_on(closed, [0, 1, 2, 3, 4])


def newer_file(path: Path, version: int) -> None:
    head = head_of(path)
    path.write_bytes(head.packed(b"PBJ%d" % version) + path.read_bytes()[HEADER_BYTES:])


def newer_file_of_other_layout(path: Path, version: int) -> None:
    path.write_bytes(b"PBJ%d" % version + path.read_bytes()[4:])


def newer_file_just_begun(path: Path, version: int) -> None:
    path.write_bytes(b"PBJ%d" % version)


def newer_first_frame(path: Path, version: int) -> None:
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES : HEADER_BYTES + 4] = b"PBF%d" % version
    path.write_bytes(data)


def newer_frame_at_the_end(path: Path, version: int) -> None:
    frame = frame_of(frames_of(), head_of(path).file, b"PBF%d" % version)
    path.write_bytes(path.read_bytes() + frame)


def newer_frame_cut_short(path: Path, version: int) -> None:
    path.write_bytes(path.read_bytes() + b"PBF%d" % version + b"\0\0")


@pytest.mark.parametrize("version", [3, 9])
@pytest.mark.parametrize(
    "mark",
    [
        newer_file,
        newer_file_of_other_layout,
        newer_file_just_begun,
        newer_first_frame,
        newer_frame_at_the_end,
        newer_frame_cut_short,
    ],
)
def test_what_a_newer_version_wrote_is_refused_by_name(
    killed: Path, mark: Callable[[Path, int], None], version: int
) -> None:
    path = files_of(journal_of(killed))[-1]
    before = path.read_bytes()
    mark(path, version)
    assert refusal(killed, StoreVersionError) == (
        f"{path} has journal version {version}, this program knows versions up to 2; use a newer version of Pulsebase"
    )
    path.write_bytes(before)
    goes_on(killed, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("magic", [b"PBF0", b"PBF1", b"PBF:", b"PBF\0", b"PBX3"])
def test_a_frame_of_a_version_that_never_was_is_taken_for_damage(killed: Path, magic: bytes) -> None:
    path = files_of(journal_of(killed))[-1]
    path.write_bytes(path.read_bytes() + frame_of(frames_of(), head_of(path).file, magic))
    assert "are not what was written" in refusal(killed)


def test_a_list_of_a_newer_version_is_refused_by_name(killed: Path) -> None:
    rewrite_list(journal_of(killed), version=2, files="otherwise")
    assert refusal(killed, StoreVersionError) == (
        f"{list_of(journal_of(killed))} has version 2, this program knows versions up to 1; use a newer version of "
        "Pulsebase"
    )


def test_a_list_of_a_version_that_never_was_is_taken_for_damage(killed: Path) -> None:
    rewrite_list(journal_of(killed), version=0)
    assert "is not what was written" in refusal(killed)


@pytest.mark.parametrize("with_list", [True, False])
def test_a_journal_of_version_2_as_its_reference_has_it_opens(tmp_path: Path, with_list: bool) -> None:
    """Bytes that no code of ours wrote: what stores hold today must open whatever version is written then."""
    folder = tmp_path / "store"
    opened(folder).close()
    store_id = uuid.UUID(listed(journal_of(folder))["store"]).bytes
    for path in (*files_of(journal_of(folder)), list_of(journal_of(folder))):
        path.unlink()
    first = b"PBJ2" + store_id + b"\x01" * 16 + bytes(16) + struct.pack("<QQ", 0, 0)
    second = b"PBJ2" + store_id + b"\x02" * 16 + b"\x01" * 16 + struct.pack("<QQ", 1, 0)
    for number, header in enumerate((first, second)):
        names = ([(0, "ann")], [(0, "watch")]) if number == 0 else ([], [])
        payload = payload_of(number, *names, [(0, 0, TEN + number, 7000, -1, 1)])
        of_frame = b"PBF2" + struct.pack("<II", len(payload), zlib.crc32(payload, zlib.crc32(header[20:36])))
        data = header + struct.pack("<I", zlib.crc32(header))
        data += of_frame + struct.pack("<I", zlib.crc32(of_frame)) + payload
        (journal_of(folder) / f"{number:020d}.journal").write_bytes(data)
    if with_list:
        body = (
            b'{"store":"%b","changes":0,"base_file":"%b","base_seq":0,"acknowledged_seq":2,"closed":false,"files":'
            b'[{"file":"%b","first_seq":0},{"file":"%b","first_seq":1}],"going":[],"cut":null,"version":1}'
        ) % (store_id.hex().encode(), b"00" * 16, b"01" * 16, b"02" * 16)
        list_of(journal_of(folder)).write_bytes(b"%08x " % zlib.crc32(body) + body)
    goes_on(folder, [0, 1])


# --- What a commit may hold -----------------------------------------------------------------------------------------

GOOD: Row = (0, 0, TEN + 600, 7000, -1, 1)


def frames_of(**row: int) -> bytes:
    places = ("user_no", "device_no", "t", "v", "confidence", "origin")
    values = dict(zip(places, GOOD, strict=True)) | row
    return payload_of(5, [], [], [tuple(values[place] for place in places)])  # type: ignore[list-item]


def with_columns(*columns: bytes) -> bytes:
    import msgspec

    return msgspec.msgpack.encode([5, [], [], list(columns)])


SENSELESS = {
    "of nobody": frames_of(user_no=99),
    "of nobody below": frames_of(user_no=-1),
    "of no device": frames_of(device_no=7),
    "before time": frames_of(t=-1),
    "after all time": frames_of(t=1 << 62),
    "no value": frames_of(v=-5),
    "no confidence": frames_of(confidence=9),
    "no origin": frames_of(origin=-3),
    "another number": payload_of(6, [], [], [GOOD]),
    "a number before": payload_of(4, [], [], [GOOD]),
    "a number given twice": payload_of(5, [(0, "zoe")], [], [GOOD]),
    "a person numbered twice": payload_of(5, [(2, "ann")], [], [GOOD]),
    "a number out of turn": payload_of(5, [(9, "zoe")], [], [GOOD]),
    "a negative number": payload_of(5, [(-1, "zoe")], [], [GOOD]),
    "no id": payload_of(5, [(2, "zoe\n")], [], [GOOD]),
    "an empty id": payload_of(5, [(2, "")], [], [GOOD]),
    "no rows": with_columns(*[b""] * 6),
    "columns of several lengths": with_columns(*columns_of([GOOD])[:5], b"\0" * 8),
    "half a value": with_columns(*columns_of([GOOD])[:3], b"\0", *columns_of([GOOD])[4:]),
    "a column less": with_columns(*columns_of([GOOD])[:5]),
    "no MessagePack": b"\xc1\xc1",
    "another shape": b"\x93\x05\x90\x90",
}


@pytest.mark.parametrize("payload", SENSELESS.values(), ids=SENSELESS)
def test_a_commit_with_right_sums_that_cannot_be_is_refused(killed: Path, payload: bytes) -> None:
    path = files_of(journal_of(killed))[-1]
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(frame_of(payload, head_of(path).file))
    said = refusal(killed)
    assert str(path) in said
    assert str(size) in said
    follow(said, killed)
    goes_on(killed, [0, 1, 2, 3])


def test_the_frame_that_these_are_made_of_is_taken(killed: Path) -> None:
    path = files_of(journal_of(killed))[-1]
    with path.open("ab") as file:
        file.write(frame_of(frames_of(), head_of(path).file))
    goes_on(killed, [0, 1, 2, 3, 4, 600])


def test_a_frame_that_is_not_of_this_file_is_refused(killed: Path) -> None:
    *_, before, path = files_of(journal_of(killed))
    with path.open("ab") as file:
        file.write(frame_of(frames_of(), head_of(before).file))
    assert "are not what was written" in refusal(killed)


def test_the_format_is_what_the_reference_says(killed: Path) -> None:
    files = files_of(journal_of(killed))
    heads = [head_of(path) for path in files]
    said = listed(journal_of(killed))
    assert [head.file.hex() for head in heads] == [entry["file"] for entry in said["files"]]
    assert [head.before for head in heads] == [bytes(16), *[head.file for head in heads[:-1]]]
    assert [head.first_seq for head in heads] == [int(path.stem) for path in files] == [0, 1, 2, 3, 4]
    assert {head.store.hex() for head in heads} == {said["store"]}
    assert [each.rows[0][2] - TEN for path in files for each in commits_of(path)] == [0, 1, 2, 3, 4]
    assert struct.unpack("<I", files[0].read_bytes()[68:72])
