"""The examples of docs/functions.md, run; and its table, and that of docs/questions.md, against the code."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.query.conftest import Lake

from pulka.model.moments import moment_ns
from pulka.query.functions import macros, registry
from pulka.surfaces.cli.main import COMMANDS
from pulka.surfaces.http.app import openapi_document
from pulka.surfaces.http.results import rfc3339

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "functions.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.+?)\n```\n```json\n(.+?)\n```", PAGE, re.S)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("functions"))
    events = [json.loads(line) for line in re.search(r"```json\n(.+?)```", PAGE, re.S)[1].splitlines()]
    for event in events:
        event["timestamp"] = moment_ns(event["timestamp"], 0)
    made.store(events[:2])
    made.buffer(events[2:])
    return made


@pytest.mark.parametrize(("sql", "answer"), EXAMPLES)
def test_examples(lake: Lake, sql: str, answer: str) -> None:
    table, _ = lake.run(sql)
    rows = [{name: rfc3339(column)[at].as_py() if name == "bucket" else column[at].as_py() for name, column in zip(table.column_names, table.columns, strict=True)}
            for at in range(table.num_rows)]  # fmt: skip
    assert rows == [json.loads(line) for line in answer.splitlines()]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


def test_every_function_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `(\w+)\(", PAGE, re.M))
    assert named >= set(macros._MACROS)
    assert named >= {"pattern", "patterns", "quantile_sketch", "merge_sketches", "sketch_quantile", "cidr_match"}
    # json_get is json's, fold_histograms merge_histograms'; compare is none of them
    assert len(named) == len(macros._MACROS) + len(registry._SCALARS) + len(registry._AGGREGATES) - 2 + 1


def test_every_question_is_in_the_table() -> None:
    page = (DOCS / "questions.md").read_text()
    for path in re.findall(r"`(?:POST|GET|POST` or `GET) (/api/v1/[\w/{}]+)", page):
        assert path in openapi_document()["paths"], path
    for command in re.findall(r"^\|.*`pulka (\w+)` \|$", page, re.M):
        assert command in COMMANDS
