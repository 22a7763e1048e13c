"""People, their devices, and which device's readings count."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.timerange import zone_named

#: The priority of a device that nobody ranked (specification: lowest).
UNKNOWN_PRIORITY = 999
#: The priorities for everybody who did not set their own (specification: medical grade, consumer wearable).
DEFAULT_PRIORITIES: Mapping[str, int] = MappingProxyType({"device_a": 1, "device_b": 2})
#: The genders a person can have on record.
GENDERS = ("female", "male", "other")
#: The largest priority number a device can be given.
MAX_PRIORITY = 1_000_000
#: The most settings of priorities a person may have, of all devices together: every answer about anybody looks at all.
MOST_PRIORITIES = 1_000
#: What can be said of a person besides their id. Of `birth_date` and `birth_year` one at a time.
PERSON_FIELDS = ("name", "gender", "birth_date", "birth_year", "time_zone")

_NUMBERS = ("birth_year", "age")
_WORD = re.compile(r"[^\W_]+")
#: What may stand between words of a name, and before and after all of them.
_SEPARATED, _ALONE = r"[\W_]*", (r"(?<![^\W_])", r"(?![^\W_])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOST_NAME_CHARACTERS = 256
_FIRST_BIRTH_YEAR = 1900
_MOST_AGE_YEARS = 150
#: Unicode categories no name may hold: control characters, and halves of characters, which no text can carry.
_NOT_IN_NAMES = ("Cc", "Cs")


def speaks_of(text: str, person: User) -> bool:
    """Whether a text holds the person's id or name, with no further letter or digit beside it.

    Case is ignored, and what stands between words, since names of files write it in many ways: `Ann Lee` is found in
    `ann_lee.csv`, `AnnLee` and `lee, ann`.
    """
    plain = folded(text)
    forms = [_words_of(person.user_id)]
    if person.name is not None:
        words = _words_of(person.name)
        forms += [words, words[::-1]]
    return any(re.search(_SEPARATED.join(map(re.escape, words)).join(_ALONE), plain) for words in forms)


def _words_of(text: str) -> list[str]:
    """The words of a text; one of signs alone is one word."""
    plain = folded(text)
    return _WORD.findall(plain) or [plain]


def folded(text: str) -> str:
    """The text as searches compare it: case ignored, and each character written in one way.

    `STRAUSS` and `Strauß` are the same, and so are an `é` of one character and one of two, as files of macOS have it.
    This is Unicode's toNFKC_Casefold (The Unicode Standard, section 3.13), but for characters nobody sees.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def default_priority(device_id: str) -> int:
    """Return the priority of a device for a person who never set one. The device with the lower number wins."""
    return DEFAULT_PRIORITIES.get(device_id, UNKNOWN_PRIORITY)


@dataclass(frozen=True, slots=True)
class User:
    """A person. If a reading created them, only the id is known."""

    user_id: str
    name: str | None = None
    gender: str | None = None
    birth_date: date | None = None
    time_zone: str | None = None

    def matches(self, text: str) -> bool:
        """Whether a search for the text finds the person: it is in the id or the name, as `folded` has them."""
        wanted = folded(text)
        return wanted in folded(self.user_id) or wanted in folded(self.name or "")


@dataclass(frozen=True, slots=True)
class UserOverview:
    """A person and what is stored of them: all readings, losers and confidence 0 included. Times in microseconds
    UTC.
    """

    user: User
    readings: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class MetricOverview:
    """What is stored of one metric of a person: all readings, losers and confidence 0 included. Times in microseconds
    UTC.
    """

    metric: str
    readings: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class DeviceOverview:
    """A device of a person and what is stored of it: all readings, losers and confidence 0 included. Times in
    microseconds UTC.
    """

    device_id: str
    readings: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class DevicePriority:
    """A priority that holds from `valid_from_us` until the next entry for the same person and device.

    None removes the person's own setting: from then on the default holds again.
    """

    user_id: str
    device_id: str
    priority: int | None
    valid_from_us: int = 0


def setting_like(history: Sequence[DevicePriority], said: DevicePriority) -> DevicePriority | None:
    """The entry of a person for the same device from the same instant on, which another one would replace; None if
    there is none.

    Raises:
        RejectedError: there is none, and the person has as many as there may be.
    """
    for entry in history:
        if (entry.device_id, entry.valid_from_us) == (said.device_id, said.valid_from_us):
            return entry
    if len(history) >= MOST_PRIORITIES:
        raise RejectedError.of("priority", f"the person has {MOST_PRIORITIES} settings already; take some back first")
    return None


def priority_at(history: Sequence[DevicePriority], device_id: str, at_us: int) -> int:
    """Return the priority of a device at an instant, given one person's entries."""
    held = [entry for entry in history if entry.device_id == device_id and entry.valid_from_us <= at_us]
    own = max(held, key=lambda entry: entry.valid_from_us).priority if held else None
    return default_priority(device_id) if own is None else own


def checked_person(fields: Mapping[str, object], today: date, age_on: date | None = None) -> dict[str, Any]:
    """Check fields of a person (`PERSON_FIELDS`) and return the attributes of `User` that they set; None clears one.

    A birth year counts as 1 July of that year. If `age_on` is given, `age` may replace the birth year: the age in whole
    years on that day, assuming a birthday on 1 July.

    Raises:
        RejectedError: names every wrong field.
    """
    known = PERSON_FIELDS if age_on is None else (*PERSON_FIELDS, "age")
    fields = {name: None if name in _NUMBERS and _is_nan(value) else value for name, value in fields.items()}
    errors = [FieldError(name, "is not a known field") for name in fields if name not in known]
    changes: dict[str, Any] = {}

    def take(name: str, attribute: str, check: Callable[[Any], Any]) -> None:
        if name not in fields:
            return
        try:
            value = None if fields[name] is None else check(fields[name])
        except RejectedError as error:
            errors.extend(error.errors)
            return
        changes[attribute] = changes.get(attribute) if value is None else value

    take("name", "name", _name)
    take("gender", "gender", _gender)
    take("time_zone", "time_zone", lambda value: zone_named(_text(value, "time_zone"), "time_zone").key)
    births = [name for name in ("birth_date", "birth_year", "age") if fields.get(name) is not None and name in known]
    if len(births) > 1:
        errors.append(FieldError(births[1], f"cannot stand beside {births[0]}; give one of them"))
    else:
        take("birth_date", "birth_date", lambda value: _birth_date(value, today))
        take("birth_year", "birth_date", lambda value: _birth_year(value, today))
        if age_on is not None:
            take("age", "birth_date", lambda value: _birth_date_by_age(value, age_on, today))
    if errors:
        raise RejectedError(errors)
    return changes


def checked_priority(value: object) -> int | None:
    """Return a checked priority number, or None, which removes the setting.

    Raises:
        RejectedError: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PRIORITY:
        raise RejectedError.of("priority", f"must be an integer from 0 to {MAX_PRIORITY}, or null")
    return value


def printable(text: str) -> str:
    """Replace every character that no name may hold by `�`. Names of files can contain such characters."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_unnameable(each) else each for each in text)


def _is_unnameable(character: str) -> bool:
    return unicodedata.category(character) in _NOT_IN_NAMES


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise RejectedError.of(field, "must be a text")
    return value


def _name(value: object) -> str:
    name = _text(value, "name")
    if not 1 <= len(name) <= _MOST_NAME_CHARACTERS or not name.strip():
        raise RejectedError.of("name", f"must have 1–{_MOST_NAME_CHARACTERS} characters, not blanks alone")
    if any(_is_unnameable(character) for character in name):
        raise RejectedError.of("name", "holds a control character, or one that is none")
    return name


def _gender(value: object) -> str:
    if value not in GENDERS:
        raise RejectedError.of("gender", f"must be one of {', '.join(GENDERS)}")
    return str(value)


def _birth_date(value: object, today: date) -> date:
    text = _text(value, "birth_date")
    if _DATE.fullmatch(text) is None:
        raise RejectedError.of("birth_date", "must be a date such as 1980-02-29")
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise RejectedError.of("birth_date", "is not a date that exists") from None
    return _bounded(born, "birth_date", today)


def _birth_year(value: object, today: date) -> date:
    year = _whole_number(value, "birth_year")
    if year > today.year:
        raise RejectedError.of("birth_year", "is in the future")
    return _midyear(year, "birth_year", today)


def _birth_date_by_age(value: object, on: date, today: date) -> date:
    age = _whole_number(value, "age")
    if not 0 <= age <= _MOST_AGE_YEARS:
        raise RejectedError.of("age", f"must be 0–{_MOST_AGE_YEARS} years")
    return _midyear(on.year - age - ((on.month, on.day) < (7, 1)), "age", today)


def _is_nan(value: object) -> bool:
    """Whether the value is NaN, which data frames use for a missing number."""
    return isinstance(value, float) and math.isnan(value)


def _whole_number(value: object, field: str) -> int:
    if isinstance(value, float) and value.is_integer():  # data frames turn integers into floats if one is missing
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedError.of(field, "must be an integer")
    return value


def _midyear(year: int, field: str, today: date) -> date:
    if year < _FIRST_BIRTH_YEAR:
        raise RejectedError.of(field, f"is before {_FIRST_BIRTH_YEAR}")
    return _bounded(date(year, 7, 1), field, today)


def _bounded(born: date, field: str, today: date) -> date:
    if born.year < _FIRST_BIRTH_YEAR:
        raise RejectedError.of(field, f"is before {_FIRST_BIRTH_YEAR}")
    if born > today:
        is_exact = field == "birth_date"
        reason = "is in the future" if is_exact else "counts as 1 July, which is to come; give a birth_date"
        raise RejectedError.of(field, reason)
    return born
