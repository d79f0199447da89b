"""`pulka patterns`: what kinds of messages there are."""

import click

from pulka.surfaces.cli.completing import complete_search, complete_table
from pulka.surfaces.cli.options import ask, question_options, window_options
from pulka.surfaces.cli.output import print_rows

__all__ = ["patterns"]


@click.command()
@click.argument("search", required=False, shell_complete=complete_search)
@click.option("--table", default="logs", show_default=True, shell_complete=complete_table)
@click.option("--field", default="message", show_default=True, help="The text to find patterns in.")
@click.option("--where", metavar="SQL", help="Which events, in SQL instead of the search syntax.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Patterns at most.")
@window_options
@question_options
def patterns(
    search: str | None, table: str, field: str, where: str | None, limit: int, since: str | None, until: str | None, tenant: str,
    format_: str | None, url: str | None,
) -> None:  # fmt: skip
    """Find the templates of messages, with counts, the most frequent first.

    \b
    pulka patterns 'service:web' --since 1h
    """
    body = {"table": table, "field": field, "search": search, "where": where, "start": since, "end": until, "limit": limit}
    found = ask("POST", "/api/v1/patterns", tenant, url, json=body)
    print_rows(found["patterns"], format_, ["count", "pattern"])
    click.echo(f"{found['messages']:,} messages, {found['templates']:,} patterns", err=True)
