import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.query.search.strategies import nodes

from pulka.errors import BadQuery
from pulka.query.search.nodes import (
    EVERYTHING,
    And,
    Compare,
    Field,
    Has,
    Literal,
    Match,
    Not,
    Or,
    Pattern,
    Range,
    Regex,
    Wildcard,
)
from pulka.query.search.parser import DEPTH_MAX, LENGTH_MAX, TERMS_MAX, parse
from pulka.query.search.printer import to_text

ANY, ONE = Wildcard.ANY, Wildcard.ONE
WEB = Match(Field("service"), Literal("web"))


def word(text):
    return Match(None, Literal(text))


def match(field, value):
    return Match(Field(field), value if isinstance(value, Pattern | Regex) else Literal(value))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", EVERYTHING),
        ("  * ", EVERYTHING),
        ("service:web", WEB),
        ("service: web", WEB),
        ('"service":"web"', WEB),
        ("a b", And((word("a"), word("b")))),
        ("a AND b", And((word("a"), word("b")))),
        ("a and b or c", Or((And((word("a"), word("b"))), word("c")))),
        ("a (b OR c)", And((word("a"), Or((word("b"), word("c")))))),
        ("(a b) c", And((word("a"), word("b"), word("c")))),
        ('"connection reset"', word("connection reset")),
        (r'"a \"b\" \\ \d"', word(r'a "b" \ \d')),
        ('"AND" "or"', And((word("AND"), word("or")))),
        ("-a", Not(word("a"))),
        ("NOT not a", Not(Not(word("a")))),
        ("-(a b)", Not(And((word("a"), word("b"))))),
        ("a-b", word("a-b")),
        ("conn*reset?", Match(None, Pattern(("conn", ANY, "reset", ONE)))),
        (r"100\% \*x \:y", And((word("100%"), word("*x"), word(":y")))),
        (r"path:C:\Windows\System32", match("path", r"C:\Windows\System32")),
        ("path:/api/*", match("path", Pattern(("/api/", ANY)))),
        ("path:/api/v1", match("path", "/api/v1")),
        ("path:/api", match("path", "/api")),
        (r"path:/a\/b (c|d)+/ x", And((match("path", Regex("a/b (c|d)+")), word("x")))),
        ("has:trace_id", Has(Field("trace_id"))),
        ("_exists_:trace_id", Has(Field("trace_id"))),
        ("trace_id:*", Has(Field("trace_id"))),
        ("missing:trace_id", Not(Has(Field("trace_id")))),
        ('"has":x', match("has", "x")),
        ("n:>=500", Compare(Field("n"), ">=", Literal("500"))),
        ("n:< -5", Compare(Field("n"), "<", Literal("-5"))),
        ("n:-5", match("n", "-5")),
        ('n:"5"', Match(Field("n"), Literal("5", verbatim=True))),
        ("n:[1 TO 5]", Range(Field("n"), Literal("1"), Literal("5"))),
        ("n:{1 to *}", Range(Field("n"), Literal("1"), None, False, False)),
        ("n:[1 TO /x/]", Range(Field("n"), Literal("1"), Literal("/x/"))),
        ("n:(1 OR 2)", Or((match("n", "1"), match("n", "2")))),
        ("n:(NOT 1 AND (2 OR -3))", And((Not(match("n", "1")), Or((match("n", "2"), match("n", "-3")))))),
        ("url:http://x:80/y?z", match("url", Pattern(("http://x:80/y", ONE, "z")))),
        ("ip:2001:db8::/32", match("ip", "2001:db8::/32")),
        ("at:2026-01-31T12:00:00Z", match("at", "2026-01-31T12:00:00Z")),
        ("[error] a[0]", And((word("[error]"), word("a[0]")))),
    ],
)
def test_what_is_understood(text, node):
    assert parse(text) == node
    assert parse(to_text(node)) == node


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ('say "hello', 5, '"'),
        ("(a b", 1, ")"),
        ("a )", 3, "quotes"),
        ("a OR", 5, "field:value"),
        ("OR a", 1, "field:value"),
        ("a AND OR b", 7, "field:value"),
        ("-", 2, "field:value"),
        ("()", 2, "quotes"),
        ("service:", 9, "field:value"),
        ("service:)", 9, "field:value"),
        ("service:(a b)", 12, "(a OR b)"),
        ("service:(a OR)", 14, "field:value"),
        ("n:>=", 5, "one value"),
        ("n:>=5*", 5, "one value"),
        ("n:[1 5]", 6, "TO"),
        ("n:[1 TO 5", 10, "]"),
        ("n:[1 TO 5)", 10, "]"),
        ("has:", 5, "trace_id"),
        ("has:a*", 5, "one field"),
        ("http.*:5", 1, "one field"),
        ("(" * (DEPTH_MAX + 1) + "a", DEPTH_MAX + 1, "flatter"),
    ],
)
def test_what_is_wrong_is_named_with_its_column(text, column, hint):
    with pytest.raises(BadQuery) as caught:
        parse(text)
    assert caught.value.message.startswith(f"column {column}: ")
    assert hint in caught.value.hint
    first, behind = caught.value.span
    assert first == column - 1
    assert 0 <= first <= behind <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000, "-" * 50_000, "NOT " * 16_000, "x:(" * 20_000, "[" * 50_000, "x:[" * 20_000, '"' * 50_001, "\\" * 50_001, "/" * 50_000,
        "a " * (TERMS_MAX + 1), "x:(" + "1 OR " * TERMS_MAX + "1)", "a" * (LENGTH_MAX + 1), "\ud800",
    ],
)  # fmt: skip
def test_hostile_text_is_bad_input_or_a_tree(text):
    try:
        parse(text)
    except BadQuery as error:
        assert error.hint
        assert len(error.message) < 200


@given(st.text(st.one_of(st.characters(), st.sampled_from("""ab*?:"'\\()[]{}/-<>= TO""")), max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_tree_or_bad_input_and_prints_back(text):
    try:
        node = parse(text)
    except BadQuery as error:
        assert error.span is not None
        assert 0 <= error.span[0] <= error.span[1] <= len(text)
    else:
        assert parse(to_text(node)) == node


@given(nodes())
@settings(max_examples=500, deadline=None)
def test_a_printed_tree_is_read_back(node):
    assert parse(to_text(node)) == node
