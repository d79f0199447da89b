import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka.model.fields import Column
from pulka.query import engine as engine_module
from pulka.query.predicate import Compare, IsNull, Prefix
from pulka.query.prune import may_match
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


WORDS = st.sampled_from(["", "a", "ab", "abc", "b", "ba", "é", "z", "7", "1.5", "true"])
NUMBERS = st.integers(-3, 3)
FLOATS = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0])
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "word": WORDS, "n": NUMBERS, "f": FLOATS, "ok": st.booleans(),
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
TIMES = st.builds("timestamp {} to_timestamp_nanos({})".format, OPS, st.integers(0, 12))
LEAVES = st.one_of(
    comparisons(["word", "mixed"], TEXT_VALUES), comparisons(["n", "f", "wide"], NUMBER_VALUES), LIKES, TIMES,
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
        seed = {"word": "m", "n": 0, "f": 0.25, "ok": True, "wide": 1, "mixed": "x"}
        lake.store([{"timestamp": next(clock), **seed}])
        for rows, residual in fragments:
            lake.store([{"timestamp": next(clock), **row} for row in rows], residual=tuple(sorted(residual)))
        if fresh:
            lake.buffer([{"timestamp": next(clock), **row} for row in fresh])
        columns = "count(*)" if count_only else "timestamp, word, n, f, ok, wide, mixed"
        pruned = lake.rows(f"select {columns} from logs where {predicate} order by 1")
        patch.setattr(engine_module, "may_match", lambda *_: True)
        patch.setattr("pulka.query.plan._time_bound", lambda _: engine_module.TimeRange())
        everything = lake.rows(f"select {columns} from (select * from logs limit 1000) where {predicate} order by 1")
        assert repr(pruned) == repr(everything)
