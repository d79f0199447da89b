"""Automata, their regular expressions, word filters: what the core answers about them."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulka import _native

VALUES = st.lists(st.one_of(st.text("abc-", max_size=5), st.text(max_size=4), st.text("a.\n]\\^-[", max_size=4)), min_size=1, max_size=40)


@given(VALUES, VALUES, st.integers(1, 80))
def test_the_regular_expression_takes_what_the_automaton_takes(values, others, budget):
    automaton = _native.automaton(values, budget)
    if not automaton:
        return
    expression = re.compile(_native.automaton_regex(automaton).removeprefix("^").removesuffix("$"))
    for text in [*values, *others]:
        assert bool(expression.fullmatch(text)) is _native.automata_match([automaton], [(text,)], False)[0]


def test_bytes_that_are_no_automaton():
    with pytest.raises(ValueError, match="no automaton"):
        _native.automaton_regex(b"\xff\xff")
    assert _native.automata_match([b"\xff\xff", b""], [("a",)], False) == [True, True]


def test_patterns_against_values():
    lists = [("alpha", "beta"), ("ALPHA",), ()]
    assert _native.values_match(lists, [("al", "")], False) == [True, False, False]
    assert _native.values_match(lists, [("al", ""), ("", "ta")], True) == [True, True, False]


def test_words():
    assert _native.text_words("GET /api?user_id=42") == ["get", "api", "user", "id", "42"]
    assert _native.whole_words(["", "ection reset by pe", ""]) == ["reset", "by"]
    assert _native.regex_literals("a(bb|cc)d", False) == [[("a", False)], [("bb", False), ("cc", False)], [("d", False)]]


def test_row_groups_by_words(tmp_path):
    rows = 20_000
    batch = pa.record_batch(
        {
            "timestamp": pa.array(range(rows), pa.timestamp("ns", tz="UTC")),
            "message": [f"shard {n // 1000} says {'x' * 60}{n % 7}" for n in range(rows)],
        }
    )
    path = str(tmp_path / "f.parquet")
    _native.write_fragment(
        [batch], path, declared={}, sort=["timestamp"], bloom=[], metadata={}, row_group_bytes=200_000
    )
    groups = pq.ParquetFile(path).num_row_groups
    assert groups > 5
    assert _native.matching_row_groups(path, "message", ["shard"]) == list(range(groups))
    assert len(_native.matching_row_groups(path, "message", ["Shard 11"])) <= 2
    assert _native.matching_row_groups(path, "message", ["nowhere"]) == []
    assert _native.matching_row_groups(path, "elsewhere", ["nowhere"]) == list(range(groups))
    assert "message" in json.loads(_native.inspect_fragment(path, True)["pulka.words"])
