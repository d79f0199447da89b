"""Every command, option, setting and endpoint is documented, and the generated pages are current."""

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
