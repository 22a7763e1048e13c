"""Imports of files."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, PageCursor, Parameters, Zone
from pulsebase.api.schemas.series import MetricName


class ImportsParameters(Parameters):
    """`GET /imports`."""

    limit: int = Field(100, ge=1, le=1000)
    cursor: PageCursor = None


class ImportParameters(Parameters):
    """`POST /imports`."""

    name: str = Field(
        min_length=1, max_length=128, description="What the import is called in lists: the file's name, say."
    )
    user_id: Identifier | None = Field(None, description="Whose readings files bring that name nobody.")
    device_id: Identifier | None = Field(None, description="The device to store everything under.")
    metric: MetricName | None = Field(
        None,
        description="What values are of in files that do not say it: research CSV (heart rate by default), and CSV, "
        "NDJSON and Parquet with a column `value` and none of `metric`.",
    )
    tz: Zone | None = Field(
        None, description="IANA time zone of the local times in research CSV; each person's own by default, else UTC."
    )


class ImportEntry(BaseModel):
    """An import of files, or everything that a connection to a source has brought (`sync`, named by source and
    person), and how many of its readings are stored now.

    `status` is `past` for one that has ended and that this server process did not run: a command's, one from before
    its start, or a connection's, whose runs are in `/v1/etl/runs`.
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
    `first_day` and `last_day` are those of what was stored. `metrics` has the counts of readings by metric.
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


class ImportedKind(BaseModel):
    """All files of one kind: how many, how many of these held no record, and their counts together."""

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


class UnreadFileEntry(BaseModel):
    """A file that is not read though it looks like vital signs, or nobody can tell what is in it."""

    name: str
    what: str


class UnreadFileList(BaseModel):
    """Files of an archive that are of no kind that is read. `named` are those that somebody may miss; `alike` counts
    more of them by names in which `#` stands for digits; `others` are some of all others, which `endings` counts by the
    ending of their names.
    """

    named_count: int
    other_count: int
    named: list[UnreadFileEntry]
    alike: dict[str, int]
    others: list[str]
    endings: dict[str, int]


class RefusedRecord(BaseModel):
    """Why a record of a file was refused; `index` is its place, counted from 1 in what `counts` says."""

    file: str
    counts: str
    index: int | None
    field: str
    reason: str


class ImportCourse(BaseModel):
    """How an import went. Counts are of all files, `kinds` has them by kind of file; `files` and `errors` are the first
    ones. `failure` says why it did not come to its end, or that nothing was read or every record refused; `remark` what
    else is to be known of all of it: that local times were read as UTC, say.
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
    kinds: list[ImportedKind]
    unread: UnreadFileList


class ImportDetail(ImportEntry):
    """An import, and how it went if this server process ran it."""

    course: ImportCourse | None


class ImportList(BaseModel):
    """A page of imports, the newest first."""

    data: list[ImportEntry]
    next_cursor: int | None
