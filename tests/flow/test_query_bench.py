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
from query import ENGINES, QUESTIONS, asked, differences
from server import server

LINES = 20_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with server(str(tmp_path_factory.mktemp("lake")), flush_age_s=0.3, compaction_idle_s=0.5, compaction_cpu_share=1, locality_rows=4000) as lake:
        lake.send("/api/v1/ingest/logs", incident.log_bodies(LINES))
        lake.send("/api/v1/ingest/spans", incident.span_bodies(LINES))
        lake.settle()
        yield lake


@pytest.fixture(scope="module")
def answers(lake):
    def texts(dialect):
        return {query.name: said(query, dialect, incident.some_trace(LINES)) for query in QUERIES}

    files = lake.files()
    found = {"pulka": ours(lake, texts("pulka"), 1)}
    found |= {engine: peer(engine, files, texts(engine), 1) for engine in ENGINES}
    return found | {bound: peer("duckdb", files, texts(bound), 1) for bound in ("least", "most")}


@pytest.mark.parametrize("engine", ["pulka", *ENGINES])
def test_answers_are_those_of_duckdb(answers, engine):
    if not answers[engine]:
        pytest.skip(f"{engine} is not installed")
    assert set(answers[engine]) == {query.name for query in QUERIES}
    asked_of_many = [query for query in QUERIES if query.name != "a service, p95 a minute"]  # here a minute has two rows: no rank is near another
    assert list(differences(asked_of_many, {engine: answers[engine]}, answers["least"], answers["most"])) == []


def test_most_queries_have_rows(answers):
    empty = [query.name for query in QUERIES if plain(answers["duckdb"][query.name].answer) in ([], [(0,)])]
    assert len(empty) < len(QUERIES) / 4, empty


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_questions_are_answered(lake, name):
    found = asked(lake, [], *QUESTIONS[name], 1)
    assert not found.error
    assert found.answer["rows"]["selection"] if "rows" in found.answer else found.answer["messages"]


@pytest.mark.parametrize(("found", "least", "most", "same"), [
    ([(1, "a")], [(1, "a")], [(1, "a")], True),
    ([(1, "a")], [(1, "b")], [(1, "b")], False),
    ([(1,)], [(1,), (2,)], [(1,), (2,)], False),
    ([(1.0,)], [(1.0 + 1e-12,)], [(1.0 + 1e-12,)], True),
    ([(1.0,)], [(1.1,)], [(1.1,)], False),
    ([(1.0,)], [(0.9,)], [(1.1,)], True),
    ([(None,)], [(None,)], [(None,)], True),
    ([(None,)], [(0,)], [(0,)], False),
])  # fmt: skip
def test_differences_are_seen(found, least, most, same):
    assert (differ(found, least, most) == "") == same
