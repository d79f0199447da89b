"""The examples of docs/search.md, run; and its tables against the code."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.query.conftest import Lake

from pulka.model.moments import moment_ns
from pulka.query.schema import logical_tables
from pulka.query.search import parser, to_sql
from pulka.query.search.fields import aliases
from pulka.surfaces.http.search import ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
NOW_NS = moment_ns("2026-01-01T12:00:00Z", 0)
EXAMPLES = re.findall(r"^\| `(.+?)` \| ([\d ]+) \|", PAGE, re.M)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("search"))
    events = [json.loads(line) for line in re.search(r"```json\n(.+?)```", PAGE, re.S)[1].splitlines()]
    for event in events:
        event["timestamp"] = moment_ns(event["timestamp"], 0)
    made.store(events[:4])
    made.buffer(events[4:])
    return made


def tables(lake: Lake):
    fields = lake.fresh.fresh_fields("acme")
    return logical_tables(lake.published(), fields)


@pytest.mark.parametrize(("search", "finds"), EXAMPLES)
def test_examples(lake: Lake, search: str, finds: str) -> None:
    sql = to_sql(search, tables(lake)["logs"], columns=["n"], order="oldest", now_ns=NOW_NS)
    assert [row[0] for row in lake.rows(sql)] == [int(n) for n in finds.split()], sql


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 35


def test_the_page_names_every_alias(lake: Lake) -> None:
    rows = re.findall(r"^\| (all|`\w+`) \| (.+?) \| (.+?) \|$", PAGE, re.M)
    named = {(table.strip("`"), name): path for table, names, paths in rows for name, path in pairs(names, paths)}
    known = tables(lake)
    for table in ("logs", "spans", "metrics"):
        told = {name: path for (where, name), path in named.items() if where in ("all", table)}
        assert told == aliases(known[table])


def pairs(names: str, paths: str) -> list[tuple[str, str]]:
    """One path for all names of a row, or one for each."""
    left, right = re.findall(r"`(.+?)`", names), re.findall(r"`(.+?)`", paths)
    return list(zip(left, right if len(right) > 1 else right * len(left), strict=True))


def test_the_page_names_the_bounds() -> None:
    assert f"{parser.LENGTH_MAX:,} characters, {parser.TERMS_MAX} terms, and {parser.DEPTH_MAX} parentheses" in PAGE
    assert f"{ROWS:,} of them" in PAGE
