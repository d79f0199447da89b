"""`pulka queries`: what runs now, and how to stop it."""

from urllib.parse import quote

import click

from pulka.surfaces.cli.options import ask, question_options
from pulka.surfaces.cli.output import print_rows

__all__ = ["queries"]

_COLUMNS = ["id", "running_s", "stage", "fragments_done", "fragments_total", "bytes_read", "rows", "sql"]


@click.group()
def queries() -> None:
    """Look at the queries that run or wait now, and stop them.

    \b
    pulka queries list
    pulka queries cancel 01kdx3...
    """


@queries.command("list")
@question_options
def list_(tenant: str, format_: str | None, url: str | None) -> None:
    """List them, the oldest first; texts and numbers in their SQL are left out."""
    print_rows(ask("GET", "/api/v1/queries", tenant, url)["queries"], format_, _COLUMNS)


@queries.command("cancel")
@click.argument("query_id", metavar="ID")
@question_options
def cancel(query_id: str, tenant: str, format_: str | None, url: str | None) -> None:
    """Stop a query: its CPU and memory are free soon after."""
    print_rows([ask("DELETE", f"/api/v1/queries/{quote(query_id, safe='')}", tenant, url)], format_, _COLUMNS)
