"""What shells complete: searches with the suggestions in their place, tables, and nothing where no server answers."""

import pytest
from click.shell_completion import ZshComplete

from pulka.errors import Temporary
from pulka.surfaces.cli import completing
from pulka.surfaces.cli.main import cli


@pytest.fixture
def asked(monkeypatch):
    asked = []

    def ask(method, path, tenant, url, **given):
        asked.append((path, tenant, given["params"]))
        if tenant == "nobody":
            raise Temporary("nothing listens")
        if path == "/api/v1/tables":
            return {"tables": [{"name": "logs"}, {"name": "spans"}]}
        return {"span": [8, 10], "suggestions": [{"text": "web", "kind": "value", "detail": ""}, {"text": "week", "kind": "value", "detail": ""}]}

    monkeypatch.setattr(completing, "ask", ask)
    return asked


def completed(arguments, incomplete):
    return [one.value for one in ZshComplete(cli, {}, "pulka", "_PULKA_COMPLETE").get_completions(arguments, incomplete)]


@pytest.mark.parametrize("arguments", [["query", "--search"], ["tail", "-s"], ["compare"], ["patterns"], ["compare", "x", "--baseline"], ["saved", "save", "n", "-s"]])
def test_searches(asked, arguments):
    assert completed(arguments, "service:we -b") == ["service:web -b", "service:week -b"]


def test_of_the_table_and_tenant_that_are_named(asked):
    completed(["query", "--table", "spans", "--tenant", "acme", "--search"], "x")
    assert asked == [("/api/v1/complete", "acme", {"search": "x", "table": "spans"})]


def test_tables(asked):
    assert completed(["tail"], "s") == ["spans"]
    assert completed(["query", "--table"], "") == ["logs", "spans"]


def test_without_a_server_there_is_nothing_to_suggest(asked):
    assert completed(["query", "--tenant", "nobody", "--search"], "x") == []
