"""Imports of files."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, PageCursor, Parameters, Zone
from pulsebase.api.schemas.series import MetricName
from pulsebase.etl.transform.csv_choices import CsvChoices, checked_choices

_Column = Annotated[str, Field(min_length=1, max_length=200)]


class ImportsParameters(Parameters):
    """`GET /imports`."""

    limit: int = Field(100, ge=1, le=1000)
    cursor: PageCursor = None


class ImportParameters(Parameters):
    """`POST /imports`."""

    name: str = Field(
        min_length=1, max_length=128, description="The name of the import in lists, such as the file's name."
    )
    user_id: Identifier | None = Field(None, description="Whose readings files bring that name nobody.")
    device_id: Identifier | None = Field(None, description="The device to store everything under.")
    metric: MetricName | None = Field(
        None,
        description="What values are of in files that do not say it: research CSV (heart rate by default), and CSV, "
        "NDJSON and Parquet with a column `value` and none of `metric`.",
    )
    tz: Zone | None = Field(
        None, description="IANA time zone of local times in CSV files. By default each person's own, else UTC."
    )
    time_column: list[_Column] = Field(
        [],
        max_length=2,
        description="CSV: the column of the time, by its name or its number from 1; repeat it for a date and a time of "
        "day. What of these is left out is detected.",
    )
    value_column: _Column | None = Field(None, description="CSV: the column of the value; `metric` says of what it is.")
    user_column: _Column | None = Field(None, description="CSV: the column that names the person of each line.")
    device_column: _Column | None = Field(None, description="CSV: the column that names the device of each line.")
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="CSV: what separates columns: a character, or `comma`, `semicolon`, `tab`, `pipe`, `space`.",
    )
    decimal_comma: bool = Field(False, description="CSV: numbers are written `97,5`.")
    time_format: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="CSV: `iso`; `s`, `ms`, `us` or `ns` since 1970; or a layout such as `%d.%m.%Y %H:%M:%S`.",
    )

    @property
    def csv(self) -> CsvChoices:
        """Return what is said of CSV files.

        Raises:
            RejectedError: a parameter cannot be; names it.
        """
        return checked_choices(
            self.time_column,
            value_column=self.value_column,
            user_column=self.user_column,
            device_column=self.device_column,
            delimiter=self.delimiter,
            decimal_comma=self.decimal_comma,
            time_format=self.time_format,
        )


class ImportEntry(BaseModel):
    """An import of files, or everything that a connection to a source has brought (`sync`, named by source and
    person), and how many of its readings are stored now.

    `status` is `past` for an import that has ended and that this server process did not run: one by a command, one
    before the server's start, or a connection, whose runs are in `/v1/etl/runs`.
    """

    model_config = ConfigDict(title="Import")

    id: int
    kind: Literal["import", "sync"]
    name: str
    received_at: str
    readings: int
    status: Literal["waiting", "running", "done", "failed", "past"]


class ImportedMetric(BaseModel):
    """The readings of one metric; the counts as those of the file."""

    metric: str
    read: int
    written: int
    unchanged: int
    repeated: int
    rejected: int


class ImportedFile(BaseModel):
    """What became of one file. What was `read` was `written`, which is new or changed now; or was there `unchanged`;
    or `repeated` a reading that the same import had brought before; or was `rejected`. `problem` says why it was not
    read, or not to its end; `remark` what else is to be known of it: local times that come twice, say, where nothing
    tells which they are. `passed_over` counts what is in the file and was not read, by what the file calls it.
    `first_day` and `last_day` are those of what was stored. `metrics` has the counts of readings by metric. `read_as`
    says which columns of a CSV file were taken for what.
    """

    name: str
    kind: str | None
    read: int
    written: int
    unchanged: int
    repeated: int
    rejected: int
    days: int
    problem: str | None
    remark: str | None
    passed_over: dict[str, int]
    first_day: date | None
    last_day: date | None
    metrics: list[ImportedMetric]
    read_as: str | None


class ImportedKind(BaseModel):
    """The files of one kind: their number, how many of them held no record, and the sums of their counts. `read_as`
    counts files by what was taken for what in them.
    """

    kind: str
    files: int
    empty: int
    read: int
    written: int
    rejected: int
    days: int
    first_day: date | None
    last_day: date | None
    passed_over: dict[str, int]
    unchanged: int
    repeated: int
    metrics: list[ImportedMetric]
    read_as: dict[str, int]


class UnreadFileEntry(BaseModel):
    """A file that was not read although it may hold vital signs."""

    name: str
    what: str


class UnreadFileList(BaseModel):
    """The files of an archive that were not read because their kind is not supported. `named` lists those that may hold
    vital signs. `alike` counts further ones by name, with `#` in place of digits. `others` lists some of the remaining
    files, and `endings` counts all of these by file extension.
    """

    named_count: int
    other_count: int
    named: list[UnreadFileEntry]
    alike: dict[str, int]
    others: list[str]
    endings: dict[str, int]


class RefusedRecord(BaseModel):
    """Why a record of a file was refused. `index` is its position from 1, in the unit that `counts` names."""

    file: str
    counts: str
    index: int | None
    field: str
    reason: str


class RefusalCount(BaseModel):
    """How many records were refused for the same reason, which begins with the field."""

    reason: str
    count: int


class ImportCourse(BaseModel):
    """The progress or the result of an import. The counts are of all files; `kinds` has them by kind of file. `files`
    and `errors` list only the first ones. `failure` says why the import did not finish, that nothing was read, or that
    every record was refused. `remark` has notes on the whole import, for example that local times were read as UTC.

    `first_day`, `last_day` and `metrics` are of all files together, `people` counts those of whom something was stored.
    `refused` counts refusals by reason, the most frequent first.
    """

    size_bytes: int
    read_bytes: int
    file_count: int
    files: list[ImportedFile]
    read: int
    written: int
    unchanged: int
    repeated: int
    rejected: int
    days: int
    errors: list[RefusedRecord]
    failure: str | None
    remark: str | None
    people: int
    first_day: date | None
    last_day: date | None
    metrics: list[ImportedMetric]
    refused: list[RefusalCount]
    kinds: list[ImportedKind]
    unread: UnreadFileList


class ImportDetail(ImportEntry):
    """An import, with its progress or result if this server process ran it."""

    course: ImportCourse | None


class ImportList(BaseModel):
    """A page of imports, newest first."""

    data: list[ImportEntry]
    next_cursor: int | None
