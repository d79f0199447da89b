"""The query benchmark in small: every query, by everyone who is installed, has DuckDB's answer."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import incident
from answers import differ, plain
from measure import ours
from peers import peer
from queries import QUERIES, said
from query import ENGINES, QUESTIONS, asked
from server import server

LINES = 20_000
FEW_ROWS_TOLERANCE = 0.5
"""Of approximate percentiles: of a few hundred rows the neighbours in the tail lie far apart."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with server(str(tmp_path_factory.mktemp("lake")), flush_age_s=0.3, compaction_idle_s=0.5, compaction_cpu_share=1, locality_rows=4000) as lake:
        lake.send("/api/v1/ingest/logs", incident.log_bodies(LINES))
        lake.send("/api/v1/ingest/spans", incident.span_bodies(LINES))
        lake.settle()
        yield lake


@pytest.fixture(scope="module")
def asks(lake):
    def ask(engine):
        texts = {query.name: said(query, engine, incident.some_trace(LINES)) for query in QUERIES}
        return ours(lake, texts, 1) if engine == "pulka" else peer("duckdb" if engine == "exact" else engine, lake.files(), texts, 1)

    return ask


@pytest.fixture(scope="module")
def exact(asks):
    return asks("exact")


@pytest.mark.parametrize("engine", ["pulka", *ENGINES])
def test_answers_are_those_of_duckdb(asks, exact, engine):
    answers = asks(engine)
    if not answers:
        pytest.skip(f"{engine} is not installed")
    for query in QUERIES:
        found, expected = answers[query.name], exact[query.name]
        assert not found.error and not expected.error, (query.name, found.error, expected.error)
        tolerance = FEW_ROWS_TOLERANCE if query.tolerance > 1e-6 else query.tolerance
        assert not differ(plain(found.answer), plain(expected.answer), tolerance), query.name


def test_most_queries_have_rows(exact):
    rare = {"needle", "needle, its lines", "word that nobody wrote", "regex", "prefix of a message", "a service's needle", "several words", "part of a word"}
    for query in QUERIES:
        rows = plain(exact[query.name].answer)
        assert query.name in rare or (rows and rows != [(0,)]), query.name


def test_the_incident_is_found_by_comparing(lake):
    found = asked(lake, [], *QUESTIONS["compare the minutes with the hour before"], 1).answer
    assert {"error.type", "message"} & {one["field"] for one in found["fields"][:5]}


@pytest.mark.parametrize(("ours", "theirs", "same"), [
    ([(1, "a")], [(1, "a")], True),
    ([(1, "a")], [(1, "b")], False),
    ([(1,)], [(1,), (2,)], False),
    ([(1.0,)], [(1.0 + 1e-12,)], True),
    ([(1.0,)], [(1.1,)], False),
    ([(None,)], [(None,)], True),
    ([(None,)], [(0,)], False),
])  # fmt: skip
def test_differences_are_seen(ours, theirs, same):
    assert (differ(ours, theirs, 1e-9) == "") == same
