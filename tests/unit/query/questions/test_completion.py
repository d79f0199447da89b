"""Completion with values: those of the newest events, of fields whose values repeat, within its time."""

import pytest

from pulka.model.windows import TimeRange
from pulka.query.questions.answers import Asked
from pulka.query.questions.completion import completion
from pulka.query.schema import logical_tables
from pulka.seams import Limits

ROWS = [
    {"timestamp": at, "service": ("web", "web", "web api", "db")[at % 4], "status": 500 if at % 10 == 0 else 200, "trace_id": f"t{at}", "Quo\"te": "it's"}
    for at in range(400)
]  # fmt: skip


@pytest.fixture
def suggest(lake, wait):
    lake.store(ROWS)
    lake.store([{"timestamp": 1, "service": "web-of-another"}], tenant="other")

    def suggest(marked, **options):
        table = logical_tables(lake.published(), {})["logs"]
        asked = Asked(lake.engine, "acme", options.pop("window", TimeRange()), **options)
        return [one.text for one in wait(completion(asked, table, marked.replace("|", ""), marked.index("|"))).suggestions if one.kind == "value"]

    return suggest


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("service:|", ["web", "db", '"web api"']),
        ("service:w|", ["web", '"web api"']),
        ("service:W|", []),
        ("has:service service:d| x", ["db"]),
        ("status:|", ["200", "500"]),
        ("status:>=5|", ["500"]),
        ('"Quo\\"te":|', ["\"it's\""]),
        ("trace_id:|", []),
        ("nothing:|", []),
        ("ser|", []),
    ],
)
def test_values_of_events(suggest, marked, expected):
    assert sorted(suggest(marked)) == sorted(expected)


def test_the_most_frequent_come_first(suggest):
    assert suggest("service:|")[0] == "web"


def test_only_of_the_window(suggest):
    assert suggest("status:|", window=TimeRange(1, 9)) == ["200"]


def test_what_takes_too_long_is_left_out(suggest):
    assert suggest("service:|", limits=Limits(time_s=1e-9)) == []
