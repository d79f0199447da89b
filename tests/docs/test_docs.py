"""Every command, option, setting and endpoint is documented, and the generated pages are current."""

import re
from pathlib import Path

import click
import pytest

from pulka import config
from pulka.surfaces.cli import reference
from pulka.surfaces.cli.main import cli

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_generated_pages_are_current(page: str) -> None:
    assert (DOCS / page).read_text() == reference.PAGES[page](), f"docs/{page} is out of date: run `make docs`"


def test_every_setting_has_a_sentence() -> None:
    for parameter in config.PARAMETERS:
        assert parameter.sentence.endswith("."), parameter.name


def test_every_command_says_what_it_does() -> None:
    for path, command in reference.commands(cli):
        assert command.help, f"pulka {path} has no help"
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in {"help", "tenant", "table", "kind", "url"}:
                assert parameter.help, f"pulka {path} {parameter.opts[0]} has no help"


def test_the_page_on_compaction_names_what_exists() -> None:
    page = (DOCS / "compaction.md").read_text()
    named = set(re.findall(r"`(compaction_\w+|locality_\w+|collect_\w+)`", page))
    assert named <= {parameter.name for parameter in config.PARAMETERS}
    measured = (DOCS.parent / "src/pulka/app/metrics.py").read_text()
    for metric in re.findall(r"`(pulka_\w+)`", page):
        stem = metric.rpartition("_")[0]
        assert metric in measured or stem in measured, metric


def test_the_page_on_the_edge_names_options_and_columns_that_exist() -> None:
    from pulka.surfaces.cli import capture

    page = (DOCS / "edge.md").read_text()
    options = {option for parameter in capture.pcap.params for option in parameter.opts}
    assert set(re.findall(r"`(--[\w-]+)`", page)) <= options
    columns = {*capture._RED, *capture._TRANSACTIONS, *capture._CONNECTIONS}
    assert set(re.findall(r"^\| `(\w+)` \|", page[page.index("| column |") :], re.MULTILINE)) <= columns


def test_the_page_on_the_edge_explains_every_reason_of_what_is_left_out() -> None:
    from pulka.edge.agent import _LEFT_OUT

    table = (DOCS / "edge.md").read_text().partition("| reason |")[2].partition("\n\n")[0]
    explained = re.findall(r"`([a-z]+_?[a-z_]*)`", "\n".join(line.split("|")[1] for line in table.splitlines()[2:]))
    dropped = re.search(r"DROPS: .* = \[(.*)\]", (DOCS.parent / "crates/pulka-probe/src/probe.rs").read_text())
    assert dropped is not None
    assert sorted(explained) == sorted([*_LEFT_OUT, *re.findall(r"\w+", dropped.group(1))])
