"""Requests and answers on the owner's socket."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, Parameters, When
from pulsebase.api.schemas.readings import BatchAccepted, RefusedReading
from pulsebase.api.schemas.series import MetricName
from pulsebase.model.metrics import HEART_RATE, METRICS
from pulsebase.stores.records import Kind

#: The most that JSON holds exactly everywhere.
_MOST_COUNTED = 2**53


class ExportParameters(Parameters):
    """The people and the range of an export."""

    start: When | None = Field(None, description="From the first reading on if left out.")
    end: When | None = Field(None, description="Up to the last reading if left out.")
    user_ids: list[Identifier] | None = Field(None, description="Repeat for several people; everybody if left out.")


class ReadingsExportParameters(ExportParameters):
    """`GET /admin/export`."""

    metric: list[MetricName] = Field(
        [HEART_RATE.name], min_length=1, max_length=len(METRICS), description="Repeat for several metrics."
    )


class RecordsParameters(ExportParameters):
    """`GET /admin/records`. Of daily records, those of every UTC day that the range touches."""

    kind: Kind


class RecordKindParameters(Parameters):
    """`POST /admin/records`."""

    kind: Kind


class StoredRecords(BaseModel):
    """How many records are stored as they were sent, how many of these were known already, and why the others were
    refused. `index` is the line, counted from 1.
    """

    stored: int
    unchanged: int
    errors: list[RefusedReading]


class OriginParameters(Parameters):
    """`POST /admin/readings`: what brought the readings, and what they are of."""

    kind: Literal["import"]
    name: str = Field(min_length=1, max_length=256)
    metric: MetricName = Field(HEART_RATE.name, description="The metric of all of them.")
    twins: bool = Field(
        default=False, description="Whether readings may be stored already under another name of their device."
    )


class FinishedImport(BaseModel):
    """`POST /admin/imports/{import_id}/finished`: how an import by a command ended."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["done", "failed"]
    files: int = Field(ge=0, le=_MOST_COUNTED)
    read: int = Field(ge=0, le=_MOST_COUNTED)
    written: int = Field(ge=0, le=_MOST_COUNTED)
    unchanged: int = Field(ge=0, le=_MOST_COUNTED)
    rejected: int = Field(ge=0, le=_MOST_COUNTED)
    people: int = Field(ge=0, le=_MOST_COUNTED)


class StoredPeople(BaseModel):
    """How many people were stored."""

    stored: int


class CheckResult(BaseModel):
    """How much a check of the store compared, and a description of each difference."""

    readings: int
    rollup_rows: int
    problems: list[str]


class BlockStored(BatchAccepted):
    """One block of the import `import_id` is durable and visible. `unchanged` rows were stored already with the same
    values; `repeated` rows are of readings that this import had brought before. Both are half-open ranges of the
    block's rows, counted from 0.
    """

    unchanged: list[tuple[int, int]]
    repeated: list[tuple[int, int]]
    import_id: int


class RetentionRequest(BaseModel):
    """`POST /admin/retention`."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Only count.")


class RetentionResult(BaseModel):
    """How many raw readings have expired, or would. The horizon is the time before which they do; null without one."""

    horizon: str | None
    readings: int
    dry_run: bool


class BackupFolder(BaseModel):
    """`POST /admin/backup`."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=4096, description="An absolute path: a new or an empty folder.")


class BackupResult(BaseModel):
    """The copy that was made."""

    folder: str
    database: str
    size_bytes: int


class Statement(BaseModel):
    """`POST /admin/sql`."""

    model_config = ConfigDict(extra="forbid")

    statement: str = Field(min_length=1, max_length=100_000, description="One statement that only reads.")
