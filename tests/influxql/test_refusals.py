"""What cannot be read, is not answered, or would cost too much is refused, by name, before it costs anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.influxql import readings
from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.parser import parsed
from pulsebase.influxql.service import read_statements
from pulsebase.stores.memory import MemoryStore
from tests.influxql.conftest import Ours, write

ROWS = "SELECT value FROM heart_rate WHERE"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("", "found EOF, expected SELECT, SHOW, CREATE"),
        (" ; ;", "found EOF, expected SELECT, SHOW, CREATE"),
        ("SELEC", "found SELEC, expected SELECT, SHOW, CREATE at line 1, char 1"),
        ("SELECT value\nFROM", "found EOF, expected identifier at line 2, char 5"),
        ("SELECT FROM heart_rate", "found FROM, expected identifier, string, number, bool"),
        ("SELECT value heart_rate", "found heart_rate, expected FROM"),
        ("SELECT value FROM heart_rate heart_rate", "found heart_rate, expected ;, EOF"),
        ('SELECT "value FROM heart_rate', 'found " without its end'),
        ("SELECT value FROM /heart", "found a regular expression without its end"),
        (f"{ROWS} user_id = 'a\\d'", "found a backslash before a character that needs none"),
        (f"{ROWS} user_id = §", "found §, which has no meaning"),
        (f"{ROWS} value = 5 = 5", "found =, expected ;, EOF"),
        (f"{ROWS} value", "a condition has to compare"),
        (f"{ROWS} mean(value) > 5", "invalid function call in condition: mean()"),
        (f"{ROWS} user_id =~ 'ann'", "found a text, expected regular expression"),
        (f"{ROWS} 5 =~ /ann/", "a regular expression is compared with something that is no tag"),
        (f"{ROWS} time > 99999999999999999999", "unable to parse integer"),
        (f"{ROWS} time > 99999999999999w", "overflowed duration"),
        ("SELECT value FROM heart_rate LIMIT -1", "found -, expected integer"),
        ("SELECT value FROM heart_rate LIMIT 1.5", "found a number, expected integer"),
        ("SELECT value FROM heart_rate ORDER BY value", "only ORDER BY time supported at this time"),
        ("SELECT value FROM heart_rate tz('Mars/Phobos')", "unable to find time zone"),
        ("SELECT value INTO other FROM heart_rate", "INTO is not answered here"),
        ("SELECT value FROM (SELECT value FROM (SELECT value FROM heart_rate))", "a subquery in a subquery"),
        ("SELECT value FROM heart_rate, (SELECT value FROM heart_rate)", "a subquery beside another source"),
        ("SELECT time FROM heart_rate", "at least 1 non-time field must be queried"),
        ("SELECT 5 FROM heart_rate", "what is selected has to name a field"),
        ("SELECT value::integer FROM heart_rate", "the cast ::integer is not answered here"),
        ("SELECT * + 1 FROM heart_rate", "a wildcard cannot stand in arithmetic"),
        ("SELECT mean(value), value FROM heart_rate", "mixing aggregate and non-aggregate queries"),
        ("SELECT value FROM heart_rate GROUP BY time(1m)", "GROUP BY requires at least one aggregate function"),
        ("SELECT mean(value) FROM heart_rate GROUP BY time(0s)", "must have a positive duration"),
        ("SELECT mean(value) FROM heart_rate GROUP BY time(1ns)", "GROUP BY time takes whole microseconds"),
        ("SELECT mean(value) FROM heart_rate GROUP BY time(1m), time(2m)", "multiple time dimensions not allowed"),
        ("SELECT mean(value) FROM heart_rate GROUP BY time(1d, now())", "now() as the offset"),
        ("SELECT mean(value) FROM heart_rate GROUP BY time(1m) fill(5m)", "expected null, none, previous, linear or a"),
        ("SELECT holt_winters(mean(value), 5, 5) FROM heart_rate", "holt_winters() is not answered here; there are"),
        ("SELECT foo(value) FROM heart_rate", "undefined function foo()"),
        ("SELECT mean() FROM heart_rate", "invalid number of arguments for mean, expected 1, got 0"),
        ("SELECT mean(5) FROM heart_rate", "expected field argument in mean()"),
        ("SELECT mean(max(value)) FROM heart_rate", "expected field argument in mean()"),
        ("SELECT percentile(value, 101) FROM heart_rate", "percentile() takes a number from 0 to 100"),
        ("SELECT percentile(value, 'x') FROM heart_rate", "expected a number as the second argument"),
        ("SELECT derivative(value, 5) FROM heart_rate", "duration argument must be positive in derivative()"),
        ("SELECT derivative(mean(value)) FROM heart_rate", "derivative aggregate requires a GROUP BY interval"),
        ("SELECT derivative(value) FROM heart_rate ORDER BY time DESC", "derivative() with ORDER BY time DESC"),
        ("SELECT moving_average(value, 1) FROM heart_rate", "moving_average window must be greater than 1"),
        ("SELECT moving_average(value, 10000000) FROM heart_rate", "moving_average window must be greater than 1"),
        ("SELECT distinct(value), mean(value) FROM heart_rate", "distinct() cannot be combined"),
        ("DROP MEASUREMENT heart_rate", "DROP is not answered here: SELECT, SHOW and CREATE DATABASE are answered"),
        ("SHOW SERIES", "SHOW SERIES is not answered here"),
        ("SHOW TAG CARDINALITY", "SHOW TAG CARDINALITY is not answered here"),
        ("CREATE USER x", "CREATE USER is not answered here"),
        ("SHOW TAG VALUES", "found EOF, expected WITH"),
        (f"{ROWS} user_id = $who", "missing parameter: who"),
        ("SELECT value FROM heart_rate;" * 101, "more than 100 statements"),
        (f"{ROWS} {'(' * 60}value > 5{')' * 60}", "more than 50 levels of parentheses and operators"),
        (f"SELECT {'(' * 60_000}value FROM heart_rate", "more than 50 levels of parentheses and operators"),
        (f"SELECT {'value+' * 9_000}value FROM heart_rate", "more than 50 levels of parentheses and operators"),
        (f"SELECT {'- ' * 30_000}value FROM heart_rate", "more than 50 levels of parentheses and operators"),
        (f"SELECT {'mean(' * 10_000}value FROM heart_rate", "more than 50 levels of parentheses and operators"),
        (f"{ROWS} {'value > 5 AND ' * 4_000}value > 5", "more than 500 comparisons"),
        (f"SELECT {'value,' * 10_000}value FROM heart_rate", "more than 100 fields are selected"),
        (f"SELECT value FROM {'heart_rate,' * 5_000}heart_rate", "more than 100 measurements are named"),
        (f"SELECT mean(value) FROM x GROUP BY {'a,' * 10_000}a", "more than 100 tags are grouped by"),
    ],
)
def test_a_statement_is_refused_before_anything_runs(statement: str, said: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        read_statements(statement)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def error_of(ours: Ours, statement: str) -> str:
    (answer,) = ours.answers(statement)
    return answer.error or ""


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT mean(value) FROM heart_rate WHERE time > '2014-01-01' GROUP BY time(1u)", "more than 1000000 groups"),
        ("SELECT mean(value) FROM heart_rate WHERE time > '2014-01-01' GROUP BY time(1m)", "more than 1000000 groups"),
        ("SELECT moving_average(mean(value), 999999) FROM heart_rate WHERE time > 5000d GROUP BY time(5m)", "groups"),
        (f"{ROWS} time > 5 OR value > 3", "conditions on time can only be joined by AND"),
        (f"{ROWS} time != 5", "invalid condition on time"),
        (f"{ROWS} time > 'yesterday'", "a time is compared with a text that is no time"),
        (f"{ROWS} time > '2024-02-30'", "a time is compared with a text that is no time"),
        (f"{ROWS} user_id =~ /(/", "a regular expression is none that RE2 takes"),
        (f"{ROWS} user_id =~ /(a{{1000}}){{1000}}/", "a regular expression is none that RE2 takes"),
        (f"{ROWS} user_id =~ /{'a' * 20_000}/", "a regular expression has more than 10000 characters"),
    ],
)
def test_a_statement_is_refused_before_it_costs_much(ours: Ours, statement: str, said: str) -> None:
    assert said in error_of(ours, statement)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", "(?i)(x+x+)+y"])
def test_no_pattern_takes_long(ours: Ours, pattern: str) -> None:
    """Each of them keeps a matcher that tries every way busy for hours."""
    write(ours.store, [("heart_rate", "a" * 100 + "b", "x" * 100, 0, 70)])
    for tag in ("user_id", "device_id"):
        assert error_of(ours, f"{ROWS} {tag} =~ /{pattern}/ AND time < 1") == ""
    ours.store.remove_user("a" * 100 + "b")


def test_unusual_names_and_texts_find_nothing(ours: Ours) -> None:
    for text in ("ann\\'s", "ünï", "🫀", "' OR 1=1 --".replace("'", "\\'"), "%", "\\\\", "a" * 60_000, "\u202eann"):
        assert ours.json(f"{ROWS} user_id = '{text}'") == {"results": [{"statement_id": 0}]}
        name = text.replace("\\'", "'").replace('"', "")
        assert ours.json(f'SELECT value FROM "{name}"') == {"results": [{"statement_id": 0}]}
        assert ours.json(f'SELECT "{name}" FROM heart_rate') == {"results": [{"statement_id": 0}]}


def test_a_statement_about_too_many_people_has_to_name_some() -> None:
    store = MemoryStore()
    write(store, [("heart_rate", f"user{number:03}", "watch", 0, 70) for number in range(120)])
    ours = Ours(store)
    said = "is about more than 100 people; name some: WHERE user_id = '…'"
    assert error_of(ours, "SELECT mean(value) FROM heart_rate") == said
    assert error_of(ours, "SHOW TAG VALUES WITH KEY = user_id") == said
    assert error_of(ours, f"{ROWS} user_id =~ /^({'|'.join(f'user{number:03}' for number in range(101))})$/") == said
    assert len(ours.json("SHOW MEASUREMENTS")["results"][0]["series"][0]["values"]) == 9
    assert error_of(ours, f"{ROWS} user_id =~ /^user00/ AND value > 60") == ""
    found = ours.json("SELECT count(value) FROM heart_rate WHERE user_id =~ /^user0[0-4]/ GROUP BY user_id")
    assert len(found["results"][0]["series"]) == 50


def test_a_request_reads_so_many_readings_and_no_more(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MOST_READ", 100)
    said = "more than 4000000 readings; ask for less time"
    assert said in error_of(ours, f"{ROWS} user_id = 'ben'")
    assert said in error_of(ours, "SELECT median(value) FROM heart_rate WHERE user_id = 'ben'")
    assert error_of(ours, "SELECT mean(value), max(value) FROM heart_rate WHERE user_id = 'ben'") == ""
    assert error_of(ours, "SELECT last(value) FROM heart_rate WHERE user_id = 'ben'") == ""
    statement = (
        "SELECT mean(value) FROM heart_rate WHERE user_id = 'ben' AND time >= '2024-01-16' AND time < '2024-01-17' "
    )
    assert error_of(ours, statement + "GROUP BY time(1h)") == ""


WORDS = st.sampled_from(
    (
        *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "SLIMIT", "AND", "OR", "AS", "time", "now()"),
        *("fill(", "none", ")", "tz(", "value", "heart_rate", "user_id", "mean(", "max(", "derivative(", "count("),
        *("distinct(", "percentile(", ",", "(", "*", "+", "-", "/", "%", "=", "!=", "<", ">", "=~", "!~", "::", "."),
        *(";", "'ann'", '"value"', "5", "1.5", "10m", "1d", "/a.*/", "$p", "'UTC'", "SHOW TAG VALUES", "WITH KEY"),
        *("IN", "SHOW DATABASES", "SHOW MEASUREMENTS", "true", "\\", "'", '"', "--", "/*", "*/", "é", "\x00", "\n"),
    )
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        statements = read_statements(text, {"p": 5})
    except QuerySyntaxError:
        return
    assert statements == parsed(text, {"p": 5})


NAMES = st.sampled_from(["value", "confidence", "bpm", "nope", "user_id", "*"])
CALLS = st.builds(
    "{}({})".format,
    st.sampled_from(["mean", "max", "last", "count", "median", "spread", "stddev", "sum", "first", "min"]),
    NAMES,
)
CONDITIONS = st.sampled_from(
    [
        "user_id = 'ann'",
        "device_id != 'ring'",
        "value > 70",
        "value + confidence > 3",
        "user_id =~ /n/",
        "time > 1705312900s",
        "time < now() - 2d",
        "nope = ''",
        "1 = 1",
        "true",
    ]
)


GROUPS = ["", "GROUP BY time(1h)", "GROUP BY user_id", "GROUP BY time(7m, 3m), *", "GROUP BY time(1d), nope"]
FILLS = ["", "fill(none)", "fill(previous)", "fill(linear)", "fill(3)"]
RESTS = ["", "ORDER BY time DESC", "LIMIT 3", "LIMIT 2 OFFSET 5 SLIMIT 1", "tz('Asia/Kathmandu')"]
STATEMENTS = st.builds(
    "SELECT {} FROM heart_rate {} {} {} {}".format,
    st.lists(st.one_of(CALLS, NAMES), min_size=1, max_size=3).map(", ".join),
    st.lists(CONDITIONS, max_size=3).map(lambda parts: "WHERE " + " AND ".join(parts) if parts else ""),
    st.sampled_from(GROUPS),
    st.sampled_from(FILLS),
    st.sampled_from(RESTS),
)


@settings(max_examples=150, deadline=None)
@given(STATEMENTS)
def test_any_statement_is_answered_or_refused(ours: Ours, statement: str) -> None:
    try:
        (answer,) = ours.json(statement)["results"]
    except QuerySyntaxError:
        return
    assert answer["statement_id"] == 0
    for series in answer.get("series", ()):
        assert {len(row) for row in series["values"]} == {len(series["columns"])}


def test_answers_have_so_many_values_and_no_more(ours: Ours) -> None:
    groups = "WHERE user_id = 'ben' AND time >= '2023-06-01' AND time < '2024-01-18' GROUP BY time(1m)"
    assert error_of(ours, f"SELECT mean(value) FROM heart_rate {groups}") == ""
    many = ", ".join(f"mean(value) + {number}" for number in range(99))
    said = "the answer would have more than 1000000 rows, or 4000000 values"
    assert error_of(ours, f"SELECT {many} FROM heart_rate {groups}") == said
    first, second = ours.answers(
        f"SELECT count(value), sum(value), min(value), max(value) FROM heart_rate {groups};" * 5
    )[-2:]
    assert (first.error, second.error) == (said, "not executed")
