"""What files state about their person, over a real ingestor and the memory store."""

from __future__ import annotations

import contextlib
import io
from datetime import date

import pytest

from pulsebase.etl.importer import Importer
from pulsebase.etl.load import ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.users import User
from pulsebase.stores.memory import MemoryStore
from tests.etl.desk import ANN, Desk
from tests.support.health_files import zipped

TAKEN = "gender and birth_date of the person taken over where unknown"


def export(birth: str = "1980-02-29", sex: str = "Female", bpm: int = 61) -> bytes:
    kind = "HKCharacteristicTypeIdentifier"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><HealthData><Me {kind}DateOfBirth="{birth}" '
        f'{kind}BiologicalSex="HKBiologicalSex{sex}" {kind}BloodType="HKBloodTypeNotSet"/>'
        '<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" '
        f'startDate="2024-01-15 10:00:00 +0100" endDate="2024-01-15 10:00:00 +0100" value="{bpm}"/></HealthData>'
    ).encode()


def known(desk: Desk) -> User | None:
    return desk.store.user("ann")


def test_birth_date_and_sex_are_taken_over_where_unknown(desk: Desk) -> None:
    result = desk.bring_one(export())
    assert (result.read, result.written, result.rejected, result.remark) == (1, 1, 0, TAKEN)
    assert known(desk) == User("ann", gender="female", birth_date=date(1980, 2, 29))
    again = desk.bring_one(export())
    assert (again.unchanged, again.rejected, again.remark) == (1, 0, None)


def test_what_is_known_stays_and_is_said(desk: Desk) -> None:
    desk.store.put_users([User("ann", "Ann", birth_date=date(1980, 3, 1))])
    result = desk.bring(zipped({"apple_health_export/export.xml": export(sex="Male")}))[0]
    assert (result.written, result.rejected) == (1, 0)
    assert result.remark is not None
    assert result.remark.startswith("what the file states about the person, birth_date: is known otherwise here")
    assert known(desk) == User("ann", "Ann", "male", date(1980, 3, 1))


@pytest.mark.parametrize(
    ("birth", "sex", "expected"),
    [
        ("", "NotSet", User("ann")),
        ("1980-02-30", "Other", User("ann", gender="other")),
        ("2980-01-01", "Spaceship", User("ann")),
        ("1980", "", User("ann")),
    ],
)
def test_what_says_nothing_is_left_out(desk: Desk, birth: str, sex: str, expected: User) -> None:
    result = desk.bring_one(export(birth, sex))
    assert (result.problem, result.written, known(desk)) == (None, 1, expected)


def test_nobody_is_made_of_a_file_of_which_nothing_is_stored(desk: Desk) -> None:
    result = desk.bring_one(export(bpm=300))
    assert (result.rejected, result.remark, known(desk)) == (1, None, None)


def test_a_sender_who_may_not_change_people_brings_readings_only() -> None:
    store, rules = MemoryStore(), ReadingRules()
    keeper = RecordKeeper(store, rules, contextlib.nullcontext, changes_people=False)
    with contextlib.closing(Ingestor(store)) as ingestor:
        sink = ImportSink(ingestor, store, keeper, rules, origin=ingestor.register_origin("import", "desk"))
        (result,) = Importer(sink, ANN, 1 << 20).upload("export.xml", io.BytesIO(export()))
    assert (result.written, result.rejected, store.user("ann")) == (1, 0, User("ann"))
    assert result.remark == "what the file states about the person, record: takes a key that may change people"
