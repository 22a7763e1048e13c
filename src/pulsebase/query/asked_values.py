"""Numbers, ages and moments as questions state them, checked."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from pulsebase.model.errors import RejectedError
from pulsebase.query.plan import AskedPeriod, asked_period

#: A number as it was written. A string is read exactly; a float is read as its shortest decimal form.
Number = int | float | Decimal | Fraction | str
#: A point in time or a day as it was written. Without a zone it is read in the question's, which is UTC by default.
Moment = str | date | datetime
MAX_AGE = 150
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_DECIMAL_LENGTH = 64
NO_NUMBER = "must be a number such as 60 or 59.5"


def exact_number(value: Number, field: str, highest: int, lowest: int = 0) -> Fraction:
    """Return the exact number that was written, from `lowest` to `highest`.

    Raises:
        RejectedError: it is not a number, or out of that range; names `field`.
    """
    written = str(value).strip()
    if not isinstance(value, Fraction) and (len(written) > _DECIMAL_LENGTH or not _DECIMAL.fullmatch(written)):
        raise RejectedError.of(field, NO_NUMBER)
    number = value if isinstance(value, Fraction) else Fraction(written)
    if not lowest <= number <= highest:
        raise RejectedError.of(field, f"must be from {lowest} to {highest}")
    return number


def born_by(age: int, on: date, field: str = "min_age") -> date:
    """Return the latest birth date of people who are older than `age` full years on a day.

    People born on 29 February turn a year older on 1 March in years without that day.

    Raises:
        RejectedError: the age is not valid.
    """
    check_whole(field, age, 0, MAX_AGE)
    year = on.year - age - 1
    try:
        return on.replace(year=year)
    except ValueError:  # 29 February in a year without one: those of 28 February were born by then
        return date(year, 2, 28)


def check_whole(field: str, value: object, lowest: int, highest: int) -> None:
    """Refuse what is no whole number from `lowest` to `highest`.

    Raises:
        RejectedError: names `field`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or not lowest <= value.__index__() <= highest:
        raise RejectedError.of(field, f"must be a whole number from {lowest} to {highest}")


def typed(moment: Moment, field: str) -> str:
    """Return a moment as the text that a person would type."""
    if isinstance(moment, str):
        return moment
    if isinstance(moment, date):  # a datetime is one too
        return moment.isoformat()
    raise RejectedError.of(field, "must be a date, a datetime or a text such as 2024-01-15T10:00:00Z")


class Dated(Protocol):
    """A question about a period, and the names that errors give to its ends."""

    @property
    def date_from(self) -> Moment: ...
    @property
    def date_to(self) -> Moment: ...
    @property
    def tz(self) -> str: ...
    @property
    def start_field(self) -> str: ...
    @property
    def end_field(self) -> str: ...


def period_of(question: Dated) -> AskedPeriod:
    """Return the period a question is about.

    Raises:
        RejectedError: it is not valid.
    """
    return asked_period(
        typed(question.date_from, question.start_field),
        typed(question.date_to, question.end_field),
        question.tz,
        start_field=question.start_field,
        end_field=question.end_field,
    )
