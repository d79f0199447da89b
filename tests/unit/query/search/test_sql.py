import pyarrow as pa
import pytest
from datafusion import SessionContext
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.query.search.conftest import table_of

from pulka.errors import BadQuery
from pulka.model.tables import table as definition
from pulka.query.schema import WELL_KNOWN
from pulka.query.search import to_sql
from pulka.query.search.literals import literal
from pulka.query.search.nodes import Field, Match, Pattern, Wildcard
from pulka.query.search.parser import parse
from pulka.query.search.sql import condition

NOW_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("*", "TRUE"),
        ("reset", "message ILIKE '%reset%'"),
        ('"100%_"', r"message ILIKE '%100\%\_%'"),
        ("co*n?", "message ILIKE '%co%n_%'"),
        ("message:reset", "message ILIKE '%reset%'"),
        ("/rese[t]/", "message ~ 'rese[t]'"),
        ("service:web", "service = 'web'"),
        ("SERVICE.NAME:web", "service = 'web'"),
        ("service:o'brien", "service = 'o''brien'"),
        ("service:web*", "service LIKE 'web%'"),
        (r"path:\\srv\\*x", "\"path\" LIKE '\\\\srv\\\\%x'"),
        ("path:/^.a/", "\"path\" ~ '^.a'"),
        ("mixed:a", "\"Mixed\" = 'a'"),
        (r'"odd\"name":a', "\"odd\"\"name\" = 'a'"),
        ('"has":a', "\"has\" = 'a'"),
        ("http.status_code:500", '"http.status_code" = 500'),
        ("http.status_code:>=500", '"http.status_code" >= 500'),
        ("http.status_code:5*", "CAST(\"http.status_code\" AS VARCHAR) LIKE '5%'"),
        ("http.status_code:[500 TO 599}", '"http.status_code" >= 500 AND "http.status_code" < 599'),
        ("http.status_code:(500 OR 503 OR 500)", '"http.status_code" IN (500, 503)'),
        ("http.status_code:99999999999999999999", '"http.status_code" = 1e+20'),
        ("took_ms:>1.5s", '"took_ms" > 1500'),
        ("ratio:-0.5", '"ratio" = -0.5'),
        ("ok:True", '"ok" = TRUE'),
        ("code:500", "\"code\" = '500'"),
        ("code:>500", 'TRY_CAST("code" AS DOUBLE) > 500'),
        ('code:>"500"', "\"code\" > '500'"),
        ("code:[* TO *]", '"code" IS NOT NULL'),
        ("client.ip:10.0.0.0/8", "cidr_match(\"client.ip\", '10.0.0.0/8')"),
        ("client.ip:2001:db8::/32", "cidr_match(\"client.ip\", '2001:db8::/32')"),
        ('client.ip:"10.0.0.0/8"', "\"client.ip\" = '10.0.0.0/8'"),
        ("client.ip:10.0.0.0/99", "\"client.ip\" = '10.0.0.0/99'"),
        ("timestamp:>=now-15m", "timestamp >= TIMESTAMP '2025-12-31T23:45:00Z'"),
        ("seen:2026-01-31", "\"seen\" = TIMESTAMP '2026-01-31T00:00:00Z'"),
        ("status:warn", "lower(severity) IN ('warn', 'warning')"),
        ("level:Audit", "lower(severity) = 'audit'"),
        ("level:[warn TO error]", "lower(severity) IN ('warn', 'warning', 'error', 'err')"),
        ("level:>fatal", "FALSE"),
        ("has:env", "env IS NOT NULL"),
        ("missing:env", "env IS NULL"),
        ("-env:dev", "(env IS DISTINCT FROM 'dev')"),
        ("-env:d*", "(env LIKE 'd%') IS NOT TRUE"),
        ("a (b OR -c)", "message ILIKE '%a%' AND (message ILIKE '%b%' OR (message ILIKE '%c%') IS NOT TRUE)"),
        ("service:(a OR b*) OR service:c", "service IN ('a', 'c') OR service LIKE 'b%'"),
    ],
)
def test_conditions(logs, text, sql):
    assert condition(parse(text), logs, NOW_NS) == sql


@pytest.mark.parametrize(
    ("text", "span", "hint"),
    [
        ("servce:web", (0, 6), "`service`"),
        ("a -has:trace", (7, 12), "`trace_id`"),
        ("12:30", (0, 2), "quotes"),
        ("http.status_code:abc", (17, 20), "[500 TO 599]"),
        ("http.status_code:>5xx", (18, 21), "5*"),
        ("ratio:1e999", (6, 11), "1.8e308"),
        ("ok:yes", (3, 6), "field:true"),
        ("ok:>true", (4, 8), "field:true"),
        ("ok:t*", (3, 5), "field:true"),
        ("timestamp:yesterday", (10, 19), "15m"),
        ("path:/[/", (5, 8), "regex"),
        ("path:/(a{1000}){1000}/", (5, 22), "regex"),
        ("level:>=loud", (8, 12), "warn"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(logs, text, span, hint):
    with pytest.raises(BadQuery) as caught:
        condition(parse(text), logs, NOW_NS)
    assert caught.value.span == span
    assert hint in caught.value.hint
    for value in ("abc", "yes", "yesterday", "loud"):
        assert value not in caught.value.message


def test_relative_times_need_a_clock(logs):
    with pytest.raises(BadQuery, match="fixed time"):
        condition(parse("timestamp:>=now-15m"), logs)


def test_tables_search_words_in_their_own_text():
    assert condition(parse("get"), table_of("spans")) == "name ILIKE '%get%'"
    assert condition(parse("duration:>=500ms status:ERROR"), table_of("spans")) == "duration_ns >= 500000000 AND lower(status) = 'error'"
    assert condition(parse("cpu"), table_of("metrics")) == "name ILIKE '%cpu%'"
    with pytest.raises(BadQuery, match="no `message`"):
        condition(parse("cpu"), table_of("readings"))


def test_a_field_wins_over_an_alias():
    table = table_of("logs", {"status": {"i64"}})
    assert condition(parse("status:200"), table) == '"status" = 200'


def test_statements(logs):
    assert to_sql("", logs) == "SELECT * FROM logs ORDER BY timestamp DESC"
    assert to_sql("a", logs, columns=["HTTP.status_code", "service"], order="oldest", limit=5) == (
        "SELECT \"http.status_code\", service FROM logs WHERE message ILIKE '%a%' ORDER BY timestamp LIMIT 5"
    )
    assert to_sql("a", logs, order="any") == "SELECT * FROM logs WHERE message ILIKE '%a%'"
    with pytest.raises(BadQuery, match="servce"):
        to_sql("a", logs, columns=["servce"])


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_well_known_columns_need_no_quotes(name):
    table = table_of(name, {})
    session = SessionContext()
    session.register_record_batches(name, [[table.empty()]])
    for path in definition(name).columns:
        assert f"{path} IS NOT NULL" in to_sql(f"has:{path}", table)
        session.sql(to_sql(f"has:{path}", table))


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("'\"\\%_;-/*")), max_size=20)


@given(TEXT, TEXT)
@settings(max_examples=200, deadline=None)
def test_a_value_only_ever_becomes_the_literal_it_is(value, other):
    """The engine reads exactly the value back, as a literal and as a pattern."""
    session = SessionContext()
    rows = pa.record_batch({"path": [value, other, value + "x", "x" + value, None]}, pa.schema([("path", pa.string())]))
    session.register_record_batches("logs", [[rows]])

    def found(value):
        sql = condition(Match(Field("path"), value), table_of())
        return [row["path"] for row in session.sql(f"SELECT * FROM logs WHERE {sql}").to_pylist()]

    assert found(literal(value, quoted=True)) == [text for text in rows["path"].to_pylist() if text == value]
    begins = found(Pattern((value, Wildcard.ANY)) if value else Pattern((Wildcard.ANY,)))
    assert begins == [text for text in rows["path"].to_pylist() if text is not None and text.startswith(value)]
