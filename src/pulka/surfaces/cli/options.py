"""Options that questions have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pulka.errors import PulkaError
from pulka.surfaces.cli.client import connect, raise_problem, url_option
from pulka.surfaces.cli.output import format_option

__all__ = ["ask", "question_options", "window_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def window_options(command: Command) -> Command:
    """Adds `--since` and `--until`."""
    until = click.option("--until", metavar="TIME", help="Only events before this time.")
    since = click.option("--since", metavar="TIME", help="Only events from here on: RFC 3339, or back from now as in 15m, 2h, 7d.")
    return since(until(command))


def question_options(command: Command) -> Command:
    """Adds `--tenant`, `--format` and `--url`."""
    return click.option("--tenant", default="default", show_default=True)(format_option(url_option(command)))


def ask(method: str, path: str, tenant: str, url: str | None, **given: Any) -> dict[str, Any]:
    """The answer of an endpoint, as JSON."""
    with connect(url) as client:
        response = client.request(method, path, headers={"X-Pulka-Tenant": tenant}, **given)
        raise_problem(response)
        found = response.json()
    if not isinstance(found, dict):
        raise PulkaError("the server's answer is not understood", hint="is it a Pulka of this version?")
    return found
