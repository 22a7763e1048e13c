"""Answers statements of InfluxQL about what a caller may read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pulsebase.etl.transform.line_mapping import LineMapping
from pulsebase.influxql.checks import check_statement
from pulsebase.influxql.databases import OWN_DATABASE, mapped_measurements, own_measurements
from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.parser import parsed
from pulsebase.influxql.people import PeopleAsked
from pulsebase.influxql.readings import ReadingBudget, Readings
from pulsebase.influxql.select import AnsweredSeries, Measurements, SeriesSelection
from pulsebase.influxql.show import AnsweredList, Lists
from pulsebase.influxql.syntax import CreateDatabase, Select, Show, Statement
from pulsebase.influxql.words import Parameters
from pulsebase.model.errors import QueryTimeoutError, RejectedError
from pulsebase.query.plan import QueryLimits
from pulsebase.stores.contract import Cancellation, Reader

#: What a statement is answered after one that could not be.
_NOT_RUN = "not executed"


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """What a statement is answered: series, lists, nothing, or why not."""

    series: Sequence[AnsweredSeries | AnsweredList] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Statements, and from whom.

    Attributes:
        statements: as `read_statements` returns them.
        database: where measurements are looked for that name none.
        only_person: whom the caller's key is for, if for one person.
        may_see: whether the caller may know that there is a mapping.
        now_us: what `now()` is, in microseconds UTC.
        held: called with the number of rows that are held from now on; it may wait, or refuse by raising an error.
    """

    statements: Sequence[Statement]
    database: str | None
    only_person: str | None
    may_see: Callable[[LineMapping], bool]
    now_us: int
    cancellation: Cancellation | None = None
    held: Callable[[int], None] = field(default=lambda _: None)


def read_statements(text: str, parameters: Parameters | None = None) -> list[Statement]:
    """Return the statements of a text, all of which can be answered.

    Raises:
        QuerySyntaxError: what cannot be read, or is not answered.
    """
    statements = parsed(text, parameters)
    for statement in statements:
        check_statement(statement)
    return statements


class InfluxqlService:
    """Answers statements. `mappings` say what databases hold whose lines other programs write."""

    def __init__(self, reader: Reader, limits: QueryLimits, mappings: Mapping[str, LineMapping]) -> None:
        self._reader, self._limits, self._mappings = reader, limits, mappings
        self._own = own_measurements()

    def answers(self, asked: Asked) -> Iterator[StatementAnswer]:
        """Yield the answer of each statement. After one that cannot be answered none is, as in InfluxDB."""
        budget = ReadingBudget(self._limits.timeout_s, asked.held, asked.cancellation)
        readings = Readings(self._reader, budget)

        def measurements_of(database: str | None) -> Measurements:
            return self._measurements(database or asked.database, asked.only_person)

        people = PeopleAsked(self._reader, self._limits.max_people, budget.left_s)
        selection = SeriesSelection(readings, measurements_of, people, asked.now_us, self._limits.max_rows)
        lists = Lists(people, self._databases(asked), measurements_of, asked.now_us)
        failed = False
        for statement in asked.statements:
            if failed:
                yield StatementAnswer(error=_NOT_RUN)
                continue
            try:
                if isinstance(statement, Select):
                    yield StatementAnswer(selection.answer(statement))
                elif isinstance(statement, CreateDatabase):
                    yield StatementAnswer()
                else:
                    yield StatementAnswer(lists.answer(statement))
            except (RejectedError, QuerySyntaxError, QueryTimeoutError) as error:
                failed = True
                yield StatementAnswer(error=str(error).removeprefix("q: "))

    def _measurements(self, database: str | None, only_person: str | None) -> Measurements:
        name = database or ""
        mapping = self._mappings.get(name) or self._mappings.get(name.partition("/")[0])
        return self._own if mapping is None else mapped_measurements(mapping, only_person)

    def _databases(self, asked: Asked) -> list[str]:
        seen = [name for name, mapping in self._mappings.items() if asked.may_see(mapping)]
        return sorted({OWN_DATABASE, *seen})


def tells_of_nobody(statement: Statement) -> bool:
    """Whether an answer is the same whatever is stored."""
    return isinstance(statement, CreateDatabase) or (
        isinstance(statement, Show) and statement.what in ("databases", "retention policies")
    )
