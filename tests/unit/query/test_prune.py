import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka import _native
from pulka.model.fields import Column
from pulka.model.windows import TimeRange
from pulka.query import reading
from pulka.query.predicate import All, AnyOf, Compare, Contains, IsNull, Like, Prefix
from pulka.query.prune import may_match, prune
from pulka.query.schema import LogicalField, LogicalTable
from pulka.seams import ColumnStats, Fragment

from .conftest import Lake

TABLE = LogicalTable("logs", {"s": LogicalField("s", "str", frozenset({"str"}))})


def fragment(*columns, rows=10, residual=None):
    return Fragment("f", "t", "logs", "k", 0, 1, 100, 200, rows, 1, 1, 0, 0, columns, residual or {})


def text(low, high, nulls=0):
    return ColumnStats(Column("s", "s", "str"), nulls, low, high)


@pytest.mark.parametrize(
    ("predicate", "columns", "residual", "expected"),
    [
        (Compare("s", "=", "b"), [text("a", "c")], {}, True),
        (Compare("s", "=", "d"), [text("a", "c")], {}, False),
        (Compare("s", "=", "d"), [text("a", "c")], {"s": frozenset({"str"})}, True),
        (Compare("s", "=", "d"), [text("a", None)], {}, True),
        (Compare("s", "!=", "a"), [text("a", "a")], {}, False),
        (Compare("s", "!=", "a"), [text("a", "b")], {}, True),
        (Compare("s", "=", "d"), [text("a", "c"), ColumnStats(Column("s#i64", "s", "i64"), 5, 1, 2)], {}, True),
        (Compare("s", "=", "d"), [], {}, False),
        (Compare("s", "=", "d"), [text(None, None, nulls=10)], {}, False),
        (Prefix("s", "ab"), [text("abc", "b")], {}, True),
        (Prefix("s", "ab"), [text("ac", "b")], {}, False),
        (Prefix("s", "ab"), [text("a", "aa")], {}, False),
        (IsNull("s", False), [], {}, True),
        (IsNull("s", True), [], {}, False),
        (IsNull("s", False), [text("a", "b")], {}, False),
        (IsNull("s", False), [text("a", "b", nulls=1)], {}, True),
        (IsNull("s", False), [text("a", "b", 4), ColumnStats(Column("s#i64", "s", "i64"), 6, 1, 2)], {}, False),
    ],
)
def test_what_statistics_exclude(predicate, columns, residual, expected):
    assert may_match(predicate, fragment(*columns, residual=residual), TABLE) is expected


def known(*values):
    return ColumnStats(Column("s", "s", "str"), 0, min(values), max(values), values=values)


def trimmed(*values):
    return ColumnStats(Column("s", "s", "str"), 0, min(values), max(values), automaton=_native.automaton(values, 8))


@pytest.mark.parametrize(
    ("predicate", "columns", "means"),
    [
        (Compare("s", "=", "b"), [known("a", "c")], "values"),
        (Compare("s", "=", "a"), [known("a", "c")], None),
        (Compare("s", "=", "d"), [known("a", "c")], "min_max"),
        (Compare("s", ">", "b"), [known("a", "b")], "values"),
        (Compare("s", ">=", "b"), [known("a", "b")], None),
        (Compare("s", "!=", "a"), [known("a")], "min_max"),
        (AnyOf((Compare("s", "=", "b"), Compare("s", "=", "d"))), [known("a", "c", "e")], "values"),
        (AnyOf((Compare("s", "=", "b"), Compare("s", "=", "z"))), [known("a", "c", "e")], "values"),
        (AnyOf((Compare("s", "=", "b"), Compare("s", "=", "c"))), [known("a", "c", "e")], None),
        (All((Compare("s", "=", "b"), Compare("s", "=", "z"))), [known("a", "c")], "min_max"),
        (Like("s", ("", "b", "c")), [known("abd", "xbd")], "values"),
        (Contains("s", "B", ignore_case=True), [known("abd")], None),
        (Contains("s", "B"), [known("abd")], "values"),
        (Compare("s", "=", "compactor"), [trimmed("web", "api", "checkout")], "automaton"),
        (Compare("s", "=", "checkin"), [trimmed("web", "api", "checkout")], None),
        (Prefix("s", "b"), [trimmed("web", "api", "checkout")], "automaton"),
        (Prefix("s", "wa"), [trimmed("web", "api", "checkout")], "automaton"),
        (Contains("s", "q"), [trimmed("web", "api")], "automaton"),
        (Compare("s", "=", "b"), [known("a", "c"), trimmed("a", "z")], "automaton"),
        (Compare("s", "=", "b"), [known("a", "c"), ColumnStats(Column("s#i64", "s", "i64"), 5, 1, 2)], None),
        (Compare("s", "=", 1), [known("a", "c")], None),
        (Compare("s", "<", 1.5), [known("a", "c")], None),
    ],
)
def test_which_means_excludes(predicate, columns, means):
    one = fragment(*columns)
    kept, removed = prune(predicate, [one, one], TABLE)
    assert {name: count for name, count in removed.items() if count} == ({means: 2} if means else {})
    assert kept == ([] if means else [one, one])


def test_words_exclude(tmp_path):
    lake = Lake(tmp_path)
    filler = "x" * 70
    for number in range(3):
        lake.store([{"timestamp": n, "m": f"{filler} Order o{number}{n} accepted"} for n in range(40)], sort=[])
    for condition, left in [
        ("m like '%order o17 %'", 1), ("m like '%Order o17 a%'", 1), ("m like '%rder o17%'", 3), ("m ilike '%oRDER O17 %'", 1),
        ("m ~ ' o2[0-9] acc'", 3), ("m ~ '(o17|o28) accepted$'", 3), ("m ~* ' O17 [a-z]+'", 1), ("m = 'Order o17'", 0),
        ("lower(m) like '% o17 %'", 1), ("contains(m, ' o17 ')", 1), ("ends_with(m, ' nowhere')", 0),
    ]:  # fmt: skip
        _, stats = lake.run(f"select * from logs where {condition}")
        assert stats.fragments_scanned <= left + 1, condition  # a filter errs once in sixteen
        assert stats.fragments_pruned["words"] + stats.fragments_pruned["min_max"] == 3 - stats.fragments_scanned


WORDS = st.sampled_from(["", "a", "ab", "Abc", "b", "ba", "é", "z", "7", "1.5", "true", "a\nb", "a b", "a" * 70, "z" * 70 + "b"])
TOKENS = ["err", "Error", "time out", "É", "\u017f", "\u212a", "\u0130x", "stra\u00dfe", "x" * 40, "7", "\n", "_", "%", ""]
MESSAGES = st.lists(st.sampled_from([*TOKENS, "-"]), max_size=5).map(" ".join)
NUMBERS = st.integers(-3, 3)
FLOATS = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0])
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "word": WORDS, "m": MESSAGES, "n": NUMBERS, "f": FLOATS, "ok": st.booleans(),
        "wide": st.one_of(NUMBERS, FLOATS), "mixed": st.one_of(WORDS, NUMBERS, st.booleans()),
    },
)  # fmt: skip
TEXT_VALUES = WORDS.map(lambda word: f"'{word}'")
NUMBER_VALUES = st.sampled_from(["-2", "0", "1", "2", "0.5", "1e0"])
OPS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def comparisons(names, values):
    name = st.sampled_from(names)
    return st.one_of(
        st.builds("{} {} {}".format, name, OPS, values),
        st.builds("{2} {1} {0}".format, name, OPS, values),
        st.builds("{} {} ({}, {}, {}, {}, {})".format, name, st.sampled_from(["in", "not in"]), *[values] * 5),
        st.builds("{} {} {} and {}".format, name, st.sampled_from(["between", "not between"]), values, values),
        st.builds("{} is {} null".format, name, st.sampled_from(["", "not"])),
    )


PATTERNS = st.sampled_from(["'a%'", "'ab'", "'_b%'", "'%'", "'A%'", "''", "'a%c'", "'é%'", "'7%'"])
LIKES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["word", "mixed"]),
    st.sampled_from(["like", "not like", "ilike"]),
    PATTERNS,
)
PIECES = st.lists(
    st.sampled_from(["%", "_", " ", "err", "ERR", "time", "\u00e9", "s", "k", "i", "STRASSE", "stra\u00dfe", "\u017f", "7", "\n", "\\%", "x", "x" * 60]),
    max_size=5,
).map(lambda pieces: f"'{''.join(pieces)}'")  # fmt: skip
REGEXES = st.sampled_from(
    ["'err'", "'err|time'", "'(?i)ERR'", "'^err'", "'time.out'", "'(err )+7'", "'[eE]rr'", "'\\berr\\b'", "'(err|7) x'", "'e?rr?'", "'\n'", "'err$'"]
)  # fmt: skip
TEXTS = st.one_of(
    st.builds("m {} {}".format, st.sampled_from(["like", "not like", "ilike", "not ilike"]), PIECES),
    st.builds("m {} {}".format, st.sampled_from(["~", "~*", "!~"]), REGEXES),
    st.builds("{}(m, {})".format, st.sampled_from(["contains", "ends_with", "starts_with"]), PIECES),
    st.builds("regexp_match(m, {}{}) is not null".format, REGEXES, st.sampled_from(["", ", 'i'"])),
    st.builds("lower(m) {} {}".format, st.sampled_from(["like", "="]), PIECES.map(str.lower)),
    st.builds("word in ({}, {}, {}, {})".format, *[WORDS.map(lambda word: f"'{word}'")] * 4),
)
TIMES = st.builds("timestamp {} to_timestamp_nanos({})".format, OPS, st.integers(0, 12))
LEAVES = st.one_of(
    comparisons(["word", "mixed"], TEXT_VALUES), comparisons(["n", "f", "wide"], NUMBER_VALUES), LIKES, TEXTS, TIMES,
    st.sampled_from(["ok", "not ok", "ok is true", "ok = false", "ok is null"]),
)  # fmt: skip
PREDICATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=4,
)
FRAGMENTS = st.lists(
    st.tuples(st.lists(EVENT, min_size=1, max_size=4), st.sets(st.sampled_from(["n", "mixed", "wide"]))), max_size=4
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(FRAGMENTS, st.lists(EVENT, max_size=2), PREDICATES, st.booleans())
def test_pruned_equals_unpruned(fragments, fresh, predicate, count_only):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        lake = Lake(Path(folder))
        clock = iter(range(100))
        # Every field exists with every type, so that the predicates bind.
        seed = {"word": "m", "m": "m", "n": 0, "f": 0.25, "ok": True, "wide": 1, "mixed": "x"}
        lake.store([{"timestamp": next(clock), **seed}])
        for rows, residual in fragments:
            timed = [{"timestamp": next(clock), **row} for row in rows]
            lake.store(timed, residual=tuple(sorted(residual)), sort=["word", "mixed"])
        if fresh:
            lake.buffer([{"timestamp": next(clock), **row} for row in fresh])
        columns = "count(*)" if count_only else "cast(timestamp as bigint) as at, word, m, n, f, ok, wide, mixed"
        pruned = lake.rows(f"select {columns} from logs where {predicate} order by 1")
        patch.setattr(reading, "prune", lambda _, fragments, table: (list(fragments), {"time": 0}))
        patch.setattr("pulka.query.plan._time_bound", lambda _: TimeRange())
        everything = lake.rows(f"select {columns} from (select * from logs limit 1000) where {predicate} order by 1")
        assert repr(pruned) == repr(everything)
