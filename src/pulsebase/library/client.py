"""The questions that programs and notebooks ask, and what they send."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from pulsebase.library.answers import Answer, Imported, Written, column, columns_of
from pulsebase.library.columns import (
    COHORT_SCHEMA,
    DERIVED_TYPES,
    HOURS_SCHEMA,
    METRICS_SCHEMA,
    PEOPLE_SCHEMA,
    RAW_SCHEMA,
)
from pulsebase.library.file_pieces import file_pieces
from pulsebase.library.frames import route_and_table, shifted, table_of, with_constants
from pulsebase.library.progress import progress
from pulsebase.library.requests import Requests, renamed
from pulsebase.model.errors import FieldError, RejectedError, StopError, TooManyRowsError, UnknownUserError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import HEART_RATE, asked_metric
from pulsebase.model.timerange import TimeRange, format_us, parse_range, zone_named
from pulsebase.query.asked_values import Moment, Number, typed
from pulsebase.query.cohorts import average_above, query_top, query_users

if TYPE_CHECKING:
    from pulsebase.stores.contract import Store

_PAGE = 1000
#: Most people of one request for series, and readings of one request that stores them.
_PEOPLE_AT_ONCE, _ROWS_AT_ONCE = 50, 100_000
#: The most refusals that are shown of a frame.
_SHOWN_ERRORS = 100
_POLL_S = 0.1

UserId = str | int


class Library:
    """A store and the questions about it: one that `open_store` opened, or one on a server, by `connect`.

    Both answer the same. Close it, or use it in a `with` block.

    Periods are given as everywhere: `start` and `end` are dates, times (`datetime` or ISO 8601), or one of each. A date
    as the end includes its day, a time as the end is not included. Without an offset they are read in `tz`. Answers are
    `Answer`s: Arrow, with `to_polars()` and `to_pandas()`. Metrics are named as in `GET /v1/metrics`, `heart_rate` and
    `oxygen_saturation` for example.

    Every method raises `RejectedError`, which names the argument that is wrong, `UnknownUserError` for a person nobody
    knows, `QueryTimeoutError` and `TooManyRowsError` for too large a question, `RetryLaterError` if the server is busy
    for minutes, and `StopError` if it cannot be reached or the key does not suffice.
    """

    def __init__(self, requests: Requests, place: str, close: Callable[[], None], store: Store | None = None) -> None:
        """Use `open_store` or `connect`. `store` is there if this process opened the store itself."""
        self._requests, self._place, self._close, self._store = requests, place, close, store

    # --- who and what there is -------------------------------------------------------------------------------------

    def people(self, query: str = "", *, limit: int | None = None) -> Answer:
        """Return the people whose id or name contains `query`, by id, and what is stored about them; `limit` at most.

        Columns: `user_id`, `name`, `gender`, `birth_date`, `time_zone`, `readings`, `first_reading`, `last_reading`.
        """
        rows: list[Mapping[str, Any]] = []
        for page in self._pages("/v1/users", {"query": query}, min(limit or _PAGE, _PAGE)):
            rows += page["data"]
            if limit is not None and len(rows) >= limit:
                break
        return Answer(columns_of(rows[:limit], PEOPLE_SCHEMA), {})

    def metrics(self, user_id: UserId) -> Answer:
        """Return the metrics that a person has readings of.

        Columns: `metric`, `title`, `unit`, `readings`, `first_reading`, `last_reading`.
        """
        found = self._requests.json(f"{_path_of(user_id)}/metrics")
        return Answer(columns_of(found["data"], METRICS_SCHEMA), {"user_id": found["user_id"]})

    # --- series ----------------------------------------------------------------------------------------------------

    def series(
        self,
        user_id: UserId | Sequence[UserId],
        start: Moment,
        end: Moment,
        *,
        metric: str | Sequence[str] = HEART_RATE.name,
        interval: str = "auto",
        max_points: int | None = None,
        device_id: str | None = None,
        all_devices: bool = False,
        tz: str = "UTC",
    ) -> Answer:
        """Return the series of a person, or of several, in buckets.

        The resolution follows the length of the range: raw below 2 minutes, then minutes, hours, and days beyond 7
        days; `about["interval"]` says which one it is. `interval` (`raw`, `1s`, `1m`, `15m`, `1h`, `1d`) overrides it,
        `max_points` chooses the finest one with at most so many points. Ranges are widened to whole buckets; buckets
        without readings are left out. `all_devices` shows each device's readings, unresolved.

        Columns: `user_id`, `timestamp` (when the bucket begins), `avg`, `min`, `max`, `count` (readings), `minutes`
        (minutes with a reading); of raw readings `value`, `device_id`, `confidence` instead. Of several metrics there
        is also `metric`. Of several people, `about["missing"]` lists those whom nobody knows.
        """
        asked = {
            "start_date": typed(start, "start"),
            "end_date": typed(end, "end"),
            "metric": [metric] if isinstance(metric, str) else list(metric),
            "interval": interval,
            "max_points": max_points,
            "device_id": device_id,
            "include": "all" if all_devices else None,
            "tz": tz,
        }
        if isinstance(user_id, str | int):
            table, about, _ = self._requests.arrow("/v1/timeseries", asked | {"user_id": str(user_id)})
            return Answer(table, about)
        return self._several(list(dict.fromkeys(map(str, user_id))), asked)

    def readings(
        self,
        user_id: UserId,
        start: Moment,
        end: Moment,
        *,
        metric: str = HEART_RATE.name,
        device_id: str | None = None,
        all_devices: bool = False,
        tz: str = "UTC",
        show_progress: bool | None = None,
    ) -> Answer:
        """Return a person's single readings, however many there are.

        Where several devices overlap, those of the one that takes precedence, unless `all_devices`. A long answer is
        asked for in parts; readings that arrive meanwhile may be among them. `show_progress` False shows none, True
        always; by default notebooks and terminals do.

        Columns: `user_id`, `timestamp`, `value`, `device_id`, `confidence` (0 to 3, null if unknown).
        """
        asked = {
            "user_id": str(user_id),
            "metric": metric,
            "interval": "raw",
            "device_id": device_id,
            "include": "all" if all_devices else None,
        }
        period = parse_range(
            typed(start, "start"), typed(end, "end"), zone_named(tz), start_field="start", end_field="end"
        ).range
        tables = []
        about: dict[str, str] = {}
        with progress(f"readings of {user_id}", show_progress) as tell:
            for part, table, said in self._parts_of(asked, period):
                tables.append(table)
                about = said
                tell(part.end_us - period.start_us, period.length_us)
        about |= {"start": format_us(period.start_us), "end": format_us(period.end_us), "tz": tz}
        return Answer(pa.concat_tables([RAW_SCHEMA.empty_table(), *tables]).combine_chunks(), about)

    # --- groups of people, and what is worked out ------------------------------------------------------------------

    def cohort(
        self,
        start: Moment,
        end: Moment,
        *,
        metric: str = HEART_RATE.name,
        min_avg: Number | None = None,
        max_avg: Number | None = None,
        min_age: int | None = None,
        max_age: int | None = None,
        gender: str | Sequence[str] | None = None,
        min_coverage: Number | None = None,
        tz: str = "UTC",
    ) -> Answer:
        """Return everybody whose average over the period is above `min_avg` and not above `max_avg`, highest first.

        Averages are of all counted readings and compared exactly; heart rate needs one of the bounds. `min_age`:
        older than so many full years on the first day. `min_coverage`: the least share of the period's minutes with a
        reading, 0 to 1.

        Columns: `user_id`, `avg`, `count` (readings), `minutes`, `coverage`.
        """
        asked = {
            "start": typed(start, "start"),
            "end": typed(end, "end"),
            "min_avg": _number(min_avg),
            "max_avg": _number(max_avg),
            "min_age": min_age,
            "max_age": max_age,
            "gender": [gender] if isinstance(gender, str) else gender and list(gender),
            "min_coverage": _number(min_coverage),
            "tz": tz,
            "include": "averages",
        }
        spec = asked_metric(metric)
        rows: list[Mapping[str, Any]] = []
        for page in self._pages(f"/v1/cohorts/{spec.path}", asked):
            rows += page["data"]
        return Answer(columns_of(rows, COHORT_SCHEMA), {"metric": spec.name, "unit": spec.unit})

    def top_hours(
        self,
        user_id: UserId,
        start: Moment,
        end: Moment,
        *,
        limit: int = 10,
        metric: str = HEART_RATE.name,
        tz: str = "UTC",
    ) -> Answer:
        """Return a person's highest distinct averages of UTC hours, each with the first hour that has it.

        Columns: `hour`, `avg`, `count` (readings).
        """
        asked = {"start": typed(start, "start"), "end": typed(end, "end"), "limit": limit, "tz": tz, "include": "hours"}
        spec = asked_metric(metric)
        found = self._requests.json(f"{_path_of(user_id)}/{spec.path}/top-hours", asked)
        about = {"user_id": found["user_id"], "metric": spec.name, "unit": spec.unit}
        return Answer(columns_of(found["data"], HOURS_SCHEMA), about)

    def hrv(self, user_id: UserId, start: Moment, end: Moment, *, window: str = "5m", tz: str | None = None) -> Answer:
        """Return RMSSD and SDNN (ms) of a person's stored beats, by five minutes (`5m`) or by `night`.

        `tz` is the person's own by default. `about["methods"]` says how they are worked out.

        Columns: `timestamp` (when the window begins), `rmssd` and `sdnn` (null where there are too few beats), `beats`,
        `left_out`, `method`; of nights also `date`, that of the morning.
        """
        asked = {"start_date": typed(start, "start"), "end_date": typed(end, "end"), "window": window, "tz": tz}
        return self._derived(f"{_path_of(user_id)}/hrv", asked)

    def resting_heart_rate(self, user_id: UserId, start: Moment, end: Moment, *, tz: str | None = None) -> Answer:
        """Return a person's resting heart rate (bpm) by civil day, our own beside those that sources state.

        Columns: `date`, `resting_heart_rate` and `method` (null where too few minutes are covered), `timestamp` (when
        the half hour begins that has it), `covered_minutes`, `stated`.
        """
        asked = {"start_date": typed(start, "start"), "end_date": typed(end, "end"), "tz": tz}
        return self._derived(f"{_path_of(user_id)}/resting-heart-rate", asked)

    def query_users(
        self,
        min_age: int | None,
        gender: str | Sequence[str] | None,
        min_avg_heart_rate: Number | None,
        date_from: Moment,
        date_to: Moment,
        *,
        min_coverage: Number | None = None,
        tz: str = "UTC",
        metric: str = HEART_RATE.name,
        min_avg: Number | None = None,
        max_avg: Number | None = None,
        max_age: int | None = None,
    ) -> list[str]:
        """Return the ids of a cohort; see `query.cohorts.query_users`."""
        more: dict[str, Any] = {"min_coverage": min_coverage, "tz": tz, "metric": metric}
        more |= {"max_avg": max_avg, "max_age": max_age}
        if self._store is not None:
            more |= {"min_avg": min_avg}
            return query_users(self._store, min_age, gender, min_avg_heart_rate, date_from, date_to, **more)
        more["min_avg"], _ = average_above(asked_metric(metric), min_avg, min_avg_heart_rate)
        with _named({"start": "date_from", "end": "date_to"}):
            return self.cohort(date_from, date_to, min_age=min_age, gender=gender, **more)["user_id"]

    def query_top(
        self,
        user_id: UserId,
        date_from: Moment,
        date_to: Moment,
        limit: int = 10,
        *,
        tz: str = "UTC",
        metric: str = HEART_RATE.name,
    ) -> list[float]:
        """Return the averages of `top_hours`; see `query.cohorts.query_top`."""
        if self._store is not None:
            return query_top(self._store, user_id, date_from, date_to, limit, tz=tz, metric=metric)
        with _named({"start": "date_from", "end": "date_to"}):
            return self.top_hours(user_id, date_from, date_to, limit=limit, tz=tz, metric=metric)["avg"]

    # --- in and out ------------------------------------------------------------------------------------------------

    def write(
        self,
        frame: object,
        *,
        metric: str | None = None,
        user_id: UserId | None = None,
        device_id: str | None = None,
        show_progress: bool | None = None,
    ) -> Written:
        """Store readings: durable and visible when this returns. A reading that is sent again replaces the stored one.

        `frame` is one of Polars, pandas or Arrow, columns by name, or a list of dicts. Columns: `user_id`, `device_id`,
        `timestamp` (UTC unless it has a zone), `heart_rate`, or `value` with the column or argument `metric`; and
        optionally `confidence`. `user_id` and `device_id` may be given for all rows instead. Rows that are refused are
        in the answer; the others are stored.
        """
        table = with_constants(table_of(frame), {"user_id": user_id, "device_id": device_id})
        path, table = route_and_table(table, metric)
        accepted, rejected, errors = 0, 0, list[Mapping[str, Any]]()
        with progress("readings sent", show_progress) as tell:
            for first in range(0, max(table.num_rows, 1), _ROWS_AT_ONCE):
                answer = self._requests.send_table(path, table.slice(first, _ROWS_AT_ONCE))
                accepted, rejected = accepted + answer["accepted"], rejected + answer["rejected"]
                errors += shifted(answer["errors"], first)
                tell(min(first + _ROWS_AT_ONCE, table.num_rows), table.num_rows)
        return Written(accepted, rejected, tuple(errors[:_SHOWN_ERRORS]))

    def put_person(self, user_id: UserId, **fields: str | int | date | None) -> None:
        """Change the given fields of a person, who is made if nobody knows them: `name`, `gender` (female, male or
        other), `birth_date` or `birth_year`, `time_zone`. None clears one.
        """
        body = {name: value.isoformat() if isinstance(value, date) else value for name, value in fields.items()}
        path = _path_of(user_id)
        try:
            self._requests.json(path, method="PATCH", body=body)
        except UnknownUserError:
            self._requests.json(path, method="PUT", body=body)

    def import_file(
        self,
        path: str | Path,
        *,
        user_id: UserId | None = None,
        device_id: str | None = None,
        metric: str | None = None,
        tz: str | None = None,
        show_progress: bool | None = None,
        **csv: Any,
    ) -> Imported:
        """Import a file, an archive or a folder of the kinds that `pulsebase import` reads, and wait for its end.

        `user_id` says whose readings files are that name nobody. Further arguments are those of any CSV:
        `time_column`, `value_column`, `user_column`, `device_column`, `delimiter`, `decimal_comma`, `time_format`.

        Raises:
            StopError: the file cannot be read, or nothing of it was stored.
        """
        place = Path(path)
        asked = {"name": place.resolve().name[-100:], "user_id": user_id, "device_id": device_id} | csv
        asked |= {"metric": metric, "tz": tz}
        with progress(f"import of {place.name}", show_progress) as tell:
            begun = self._requests.send_file("/v1/imports", asked, lambda: file_pieces(place))
            while True:
                found = self._requests.json(f"/v1/imports/{begun['id']}")
                course = found["course"]
                if found["status"] not in ("waiting", "running") or course is None:
                    break
                tell(course["read_bytes"], course["size_bytes"] or None)
                sleep(_POLL_S)
        if course is None:
            raise StopError(f"{place.name}: the server stopped before the import was done")
        if found["status"] == "failed":
            raise StopError(f"{place.name}: {course['failure'] or 'it could not be read'}")
        counts = {name: course[name] for name in ("read", "written", "unchanged", "repeated", "rejected")}
        refused = {each["reason"]: each["count"] for each in course["refused"]}
        return Imported(found["id"], **counts, refused=refused, remark=course["remark"])

    def export(
        self, user_id: UserId | Sequence[UserId] | None, path: str | Path, *, show_progress: bool | None = None
    ) -> Path:
        """Write everything about a person into a zip, which can be imported again. Return its path.

        Of several people, or of everybody if `user_id` is None, it is a zip with a zip for each of them.

        Raises:
            StopError: the file exists already, or cannot be written.
        """
        place = Path(path)
        if place.exists():
            raise StopError(f"{place} exists already; name a new file")
        if user_id is None:
            people = list[UserId](self.people()["user_id"])
        else:
            people = [user_id] if isinstance(user_id, UserId) else list(dict.fromkeys(user_id))
            if not people:
                raise RejectedError.of("user_id", "must name somebody")
        for each in people:
            _path_of(each)
        partial = place.with_name(f"{place.name}.partial")
        try:
            with partial.open("wb") as file:
                partial.chmod(0o600)
                if isinstance(user_id, UserId):
                    with progress(f"export of {user_id}", show_progress) as tell:
                        self._export_one(user_id, file, lambda: tell(file.tell(), None))
                else:
                    with progress(f"export of {len(people):,} people", show_progress) as tell:
                        self._export_each(people, file, lambda done: tell(done, len(people)))
            partial.rename(place)
        except OSError as error:
            raise StopError(f"{error.filename or place}: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return place

    def _export_one(self, user_id: UserId, file: IO[bytes], tell: Callable[[], None]) -> None:
        with self._requests.pieces(f"{_path_of(user_id)}/export") as pieces:
            for piece in pieces:
                file.write(piece)
                tell()

    def _export_each(self, people: Sequence[UserId], file: IO[bytes], tell: Callable[[int], None]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for done, user_id in enumerate(people):
                tell(done)
                with archive.open(f"{user_id}.zip", "w", force_zip64=True) as entry:
                    self._export_one(user_id, entry, lambda: None)

    # --- the store itself ------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The open store, for what only a program beside it can do.

        Raises:
            StopError: another process holds it, or it is on a server.
        """
        if self._store is None:
            raise StopError(f"the store is held by {self._place}; ask it by the other methods")
        return self._store

    def close(self) -> None:
        """Let go of the store. Twice is once."""
        self._close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Library: {self._place}>"

    # --- how -------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, asked: Mapping[str, Any], size: int = _PAGE) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page: dict[str, Any] = self._requests.json(path, {**asked, "limit": size, "cursor": cursor})
            yield page
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _several(self, user_ids: Sequence[str], asked: Mapping[str, Any]) -> Answer:
        if not user_ids:
            raise RejectedError.of("user_id", "must name somebody")
        tables, missing = [], list[str]()
        about: dict[str, Any] = {}
        for first in range(0, len(user_ids), _PEOPLE_AT_ONCE):
            some = {"user_ids": user_ids[first : first + _PEOPLE_AT_ONCE]}
            table, about, headers = self._requests.arrow("/v1/multi-user/timeseries", {**asked, **some})
            tables.append(table)
            missing += filter(None, headers.get("pulsebase-missing", "").split(","))
        filled = [table for table in tables if table.num_rows] or tables[:1]
        return Answer(pa.concat_tables(filled).combine_chunks(), about | {"missing": missing})

    def _parts_of(
        self, asked: Mapping[str, Any], period: TimeRange
    ) -> Iterator[tuple[TimeRange, pa.Table, dict[str, str]]]:
        """Yield the readings of a period in parts as large as the server gives."""
        start_us, length_us = period.start_us, period.length_us
        while True:
            part = TimeRange(start_us, min(start_us + length_us, period.end_us))
            within = {"start_date": format_us(part.start_us), "end_date": format_us(part.end_us)}
            try:
                table, about, _ = self._requests.arrow("/v1/timeseries", {**asked, **within})
            except TooManyRowsError:
                if length_us == 1:
                    raise
                length_us = max(1, length_us // 2)
                continue
            yield part, table, about
            start_us = part.end_us
            if start_us >= period.end_us:
                return

    def _derived(self, path: str, asked: Mapping[str, Any]) -> Answer:
        found = self._requests.json(path, asked)
        columns = found.pop("columns")
        table = pa.table({name: column(values, DERIVED_TYPES[name]) for name, values in columns.items()})
        del found["count"]
        return Answer(table, found)


def _path_of(user_id: UserId) -> str:
    problem = identifier_problem(str(user_id))
    if problem is not None:
        raise RejectedError([FieldError("user_id", problem)])
    return f"/v1/users/{quote(str(user_id), safe='')}"


@contextlib.contextmanager
def _named(arguments: Mapping[str, str]) -> Iterator[None]:
    """Have errors name arguments as another method calls them."""
    try:
        yield
    except RejectedError as error:
        raise type(error)(renamed(error.errors, arguments)) from None


def _number(value: Number | None) -> str | None:
    return None if value is None else str(value)
