"""`pulka compare`: which fields differ between two selections."""

from typing import Any

import click

from pulka.surfaces.cli.completing import complete_search, complete_table
from pulka.surfaces.cli.options import ask, question_options
from pulka.surfaces.cli.output import chosen_format, print_rows

__all__ = ["compare"]

_COLUMNS = ["field", "group", "effect", "kind", "what", "selection", "baseline"]


@click.command()
@click.argument("search", required=False, shell_complete=complete_search)
@click.option("--table", default="logs", show_default=True, shell_complete=complete_table)
@click.option("--where", metavar="SQL", help="The selection in SQL instead of the search syntax.")
@click.option("--baseline", metavar="SEARCH", shell_complete=complete_search, help="What to compare with; without it, every other event of the window.")
@click.option("--baseline-where", metavar="SQL", help="The same in SQL.")
@click.option("--since", metavar="TIME", help="The window of both: RFC 3339, or back from now as in 15m, 2h, 7d.")
@click.option("--until", metavar="TIME", help="The end of the window.")
@click.option("--from", "start", metavar="TIME", help="The selection's own beginning.")
@click.option("--to", "end", metavar="TIME", help="The selection's own end.")
@click.option("--by", metavar="FIELD", help="Also within each value of this field, such as service.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Fields at most.")
@question_options
def compare(
    search: str | None, table: str, where: str | None, baseline: str | None, baseline_where: str | None, since: str | None, until: str | None,
    start: str | None, end: str | None, by: str | None, limit: int, tenant: str, format_: str | None, url: str | None,
) -> None:  # fmt: skip
    """Compare a selection with a baseline: the fields that differ, the largest effect first.

    \b
    pulka compare 'severity:error' --since 1h
    pulka compare --from 10m --since 1h --by service              the last ten minutes with the fifty before
    pulka compare --table spans --where "duration_ns > 1e9" --since 15m
    """
    body: dict[str, Any] = {
        "table": table, "selection": {"search": search, "where": where, "start": start, "end": end},
        "window": {"start": since, "end": until}, "by": by, "limit": limit,
    }  # fmt: skip
    if baseline is not None or baseline_where is not None:
        body["baseline"] = {"search": baseline, "where": baseline_where}
    found = ask("POST", "/api/v1/compare", tenant, url, json=body)
    print_rows([_row(one) for one in found["fields"]] if chosen_format(format_) in ("table", "csv") else found["fields"], format_, _COLUMNS)
    click.echo(f"{found['rows']['selection']:,} events against {found['rows']['baseline']:,}", err=True)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    """The value that tells most, or the middle of the numbers."""
    told = {name: one[name] for name in ("field", "group", "kind")} | {"effect": f"{one['effect']:.2f}"}
    if one["kind"] == "numbers":
        numbers = one["numbers"]
        return told | {"what": "median", **{side: _short(numbers[side]["p50"]) for side in ("selection", "baseline")}}
    value = one["values"][0]
    shown = "(absent)" if value["value"] is None else value["value"]
    return told | {"what": shown, **{side: f"{share:.1%}" for side, share in value["shares"].items()}}


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"
