"""What the owner's socket takes and answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, Parameters, When
from pulsebase.api.schemas.readings import BatchAccepted, RefusedReading
from pulsebase.api.schemas.series import MetricName
from pulsebase.model.metrics import HEART_RATE, METRICS
from pulsebase.stores.records import Kind


class ExportParameters(Parameters):
    """What is exported."""

    start: When | None = Field(None, description="From the first reading on if left out.")
    end: When | None = Field(None, description="Up to the last reading if left out.")
    user_ids: list[Identifier] | None = Field(None, description="Repeat for several people; everybody if left out.")


class ReadingsExportParameters(ExportParameters):
    """`GET /admin/export`."""

    metric: list[MetricName] = Field(
        [HEART_RATE.name], min_length=1, max_length=len(METRICS), description="Repeat for several metrics."
    )


class RecordsParameters(ExportParameters):
    """`GET /admin/records`: as for readings; of daily records those of the days, in UTC, that the range touches."""

    kind: Kind


class RecordKindParameters(Parameters):
    """`POST /admin/records`."""

    kind: Kind


class StoredRecords(BaseModel):
    """How many records are kept as they were sent, how many of these said what was known, and why the others are not
    kept; `index` is the line, from 1.
    """

    stored: int
    unchanged: int
    errors: list[RefusedReading]


class OriginParameters(Parameters):
    """`POST /admin/readings`: what brought the readings, and what they are of."""

    kind: Literal["import"]
    name: str = Field(min_length=1, max_length=256)
    metric: MetricName = Field(HEART_RATE.name, description="The metric of all of them.")


class StoredPeople(BaseModel):
    """How many people were stored."""

    stored: int


class CheckResult(BaseModel):
    """What a check of the store compared, and each difference in words."""

    readings: int
    rollup_rows: int
    problems: list[str]


class BlockStored(BatchAccepted):
    """One block of an import is durable and visible; `import_id` is the import's. `unchanged` rows were there just so,
    `repeated` ones are of readings that the import had brought before: stretches of rows of the block, each as its
    first and the one after its last, counted from 0.
    """

    unchanged: list[tuple[int, int]]
    repeated: list[tuple[int, int]]
    import_id: int


class RetentionRequest(BaseModel):
    """`POST /admin/retention`."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Only count.")


class RetentionResult(BaseModel):
    """The horizon, before which raw readings have expired or would, null where there is none; and how many did."""

    horizon: str | None
    readings: int
    dry_run: bool


class BackupFolder(BaseModel):
    """`POST /admin/backup`."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=4096, description="An absolute path; new, or an empty folder.")


class BackupResult(BaseModel):
    """A finished copy."""

    folder: str
    database: str
    size_bytes: int


class Statement(BaseModel):
    """`POST /admin/sql`."""

    model_config = ConfigDict(extra="forbid")

    statement: str = Field(min_length=1, max_length=100_000, description="One statement that only reads.")
