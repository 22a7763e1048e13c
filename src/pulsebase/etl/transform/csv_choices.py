"""What a user says of CSV files that no vendor's reader knows. Whatever is left out is detected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsebase.etl.transform.time_layouts import TimeFormatError, layout_of_format
from pulsebase.model.errors import RejectedError

_MOST_TIME_COLUMNS = 2
_LONGEST_NAME = 200
#: Delimiters by the words that shells and forms can write them with.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "bar": "|", "space": " "}
_CALLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
_WRITTEN = {"\t": "tab", " ": "space"}


@dataclass(frozen=True, slots=True)
class CsvChoices:
    """The columns, the delimiter and the notation of CSV files, as far as the user named them.

    A column is called by its name or by its number, the first being 1. Two time columns are a date and a time of day.
    `time_format` is `iso`, `s`, `ms`, `us` or `ns` since 1970, or a layout such as `%d.%m.%Y %H:%M:%S`.
    """

    time_columns: tuple[str, ...] = ()
    value_column: str | None = None
    user_column: str | None = None
    device_column: str | None = None
    delimiter: str | None = None
    decimal_comma: bool = False
    time_format: str | None = None

    @property
    def any(self) -> bool:
        """Return whether the user said anything."""
        return self != CsvChoices()

    @property
    def name_columns(self) -> bool:
        """Return whether the user named a column."""
        return bool(self.time_columns or self.value_column or self.user_column or self.device_column)


def checked_choices(
    time_columns: Sequence[str] = (),
    *,
    value_column: str | None = None,
    user_column: str | None = None,
    device_column: str | None = None,
    delimiter: str | None = None,
    decimal_comma: bool = False,
    time_format: str | None = None,
    spelled: Callable[[str], str] = str,
) -> CsvChoices:
    """Return the choices. `spelled` makes the name of a field in errors, such as that of an option.

    Raises:
        RejectedError: one of them cannot be; names it.
    """
    if len(time_columns) > _MOST_TIME_COLUMNS:
        raise RejectedError.of(spelled("time_column"), "is one column, or two: the date and the time of day")
    columns: list[tuple[str, str | None]] = [("time_column", name) for name in time_columns]
    columns += [("value_column", value_column), ("user_column", user_column), ("device_column", device_column)]
    for field, name in columns:
        if name is not None and not 1 <= len(name) <= _LONGEST_NAME:
            raise RejectedError.of(spelled(field), f"must have 1 to {_LONGEST_NAME} characters")
    if delimiter is not None:
        delimiter = DELIMITERS.get(delimiter.lower(), delimiter)
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in '"\r\n\0.+-':
            words = ", ".join(word for word in DELIMITERS if word.isalpha())
            raise RejectedError.of(spelled("delimiter"), f"must be one character such as ; or one of {words}")
    if time_format is not None:
        try:
            layout_of_format(time_format)
        except TimeFormatError as error:
            raise RejectedError.of(spelled("time_format"), str(error)) from None
    return CsvChoices(
        tuple(time_columns), value_column, user_column, device_column, delimiter, decimal_comma, time_format
    )


def called(delimiter: str) -> str:
    """Return what the delimiter is called, in the plural."""
    return _CALLED.get(delimiter, f"{delimiter!r}")


def option(name: str, value: str) -> str:
    """Return an option of the command line as it is typed in a shell. Over HTTP it is called `name`."""
    value = _WRITTEN.get(value, value)
    plain = value.replace("_", "").replace("-", "").isalnum()
    quoted = value if plain else "'" + value.replace("'", "'\\''") + "'"
    return f"--{name.replace('_', '-')} {quoted}"
