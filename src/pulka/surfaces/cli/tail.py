"""`pulka tail`: events as they come."""

import json
from typing import Any

import click

from pulka.model.tables import check_table
from pulka.surfaces.cli.client import connect, url_option
from pulka.surfaces.cli.completing import complete_search, complete_table

__all__ = ["tail"]


@click.command()
@click.argument("table", default="logs", shell_complete=complete_table)
@click.option("--where", metavar="SQL", help="Only events for which this condition holds.")
@click.option("-s", "--search", metavar="TEXT", shell_complete=complete_search, help="Only events that this search finds (docs/search.md).")
@click.option("-n", "--last", default=10, show_default=True, type=click.IntRange(0, 10_000), help="Begin with so many that came within the last seconds.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per event instead of a line of text.")
@click.option("--tenant", default="default", show_default=True)
@url_option
def tail(
    table: str, where: str | None, search: str | None, last: int, count: int | None, as_json: bool, tenant: str, url: str | None
) -> None:  # fmt: skip
    """Print events as they come until Ctrl-C; what cannot be shown is counted on stderr.

    \b
    pulka tail logs --search 'level:>=warn -env:dev'
    pulka tail logs --where "severity = 'ERROR'"
    """
    from pulka.surfaces.client.tailing import follow

    if where is not None and search is not None:
        raise click.UsageError("give either --where or --search, not both")
    question = {"table": check_table(table), "where": where, "search": search, "last": max(last, count or 0)}
    shown = 0
    with connect(url) as client:
        for event in follow(client, question, {"X-Pulka-Tenant": tenant}, _note):
            for row in _rows(event.name, event.data):
                click.echo(json.dumps(row) if as_json else _text(row))
                shown += 1
                if shown == count:
                    return


def _note(text: str) -> None:
    click.secho(text, fg="yellow", err=True)


def _rows(name: str, data: Any) -> list[dict[str, Any]]:
    """The rows of an event; of any other kind of event a note."""
    from pulka.surfaces.client.problems import error_of

    if name == "problem":
        raise error_of(data)
    if name == "dropped":
        why = "more than tail_rows_per_s" if data["reason"] == "rate" else "the reader is too slow"
        _note(f"{data['rows']:,} events are not shown: {why}")
    elif name == "gap":
        _note("some events were not shown: they are not held any more")
    return data if name == "rows" else []


_HEAD = ("timestamp", "severity", "service")


def _text(row: dict[str, Any]) -> str:
    head = [str(row[key]) for key in _HEAD if key in row]
    body = row.get("message") or row.get("name") or json.dumps({key: value for key, value in row.items() if key not in _HEAD})
    return " ".join([*head, str(body)])
