"""`pulka store delete` and `pulka store deletes`."""

import click

from pulka.surfaces.cli.client import asker, connect, raise_problem, url_option
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["delete", "deletes"]

_COLUMNS = ["id", "table", "state", "from", "to", "rows_matched", "rows_removed", "fragments_left", "created_at", "created_by", "done_at"]


@click.command()
@click.argument("table")
@click.option("--where", required=True, metavar="SQL", help="Which events: a boolean expression over the table's fields.")
@click.option("--from", "start", metavar="TIME", help="Only events from here on: RFC 3339, or back from now as in 15m, 2h, 7d.")
@click.option("--to", "end", metavar="TIME", help="Only events before this time.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--tenant", default="default", show_default=True)
@format_option
@url_option
def delete(
    table: str, where: str, start: str | None, end: str | None, dry_run: bool, tenant: str, format_: str | None, url: str | None
) -> None:  # fmt: skip
    """Delete events for good: no query sees them from now on, and their bytes go in the background. Later events are not affected.

    \b
    pulka store delete logs --where "user.id = 'u-17'" --dry-run
    pulka store delete logs --where "user.id = 'u-17'" --from 30d
    """
    body = {"table": table, "where": where, "from": start, "to": end, "by": asker(), "dry_run": dry_run}
    with connect(url) as client:
        response = client.post("/api/v1/deletes", json=body, headers={"X-Pulka-Tenant": tenant})
        raise_problem(response)
    if dry_run:
        print_rows([{"table": table, **response.json()}], format_, ["table", "rows_matched"])
        return
    print_rows([response.json()], format_, _COLUMNS)
    click.echo("no query sees them any more; `pulka store deletes` shows when their bytes are gone", err=True)


@click.command()
@click.option("--tenant", default="default", show_default=True)
@format_option
@url_option
def deletes(tenant: str, format_: str | None, url: str | None) -> None:
    """List the deletes and how far each is: pending, held, or done."""
    with connect(url) as client:
        response = client.get("/api/v1/deletes", headers={"X-Pulka-Tenant": tenant})
        raise_problem(response)
    print_rows(response.json()["deletes"], format_, _COLUMNS)
