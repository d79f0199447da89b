"""`pulka saved`: questions under names."""

import click

from pulka.surfaces.cli.client import asker, url_option
from pulka.surfaces.cli.completing import complete_search, complete_table
from pulka.surfaces.cli.keeping import ask, tenant_option
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["saved"]

_COLUMNS = ["name", "sql", "search", "table", "description", "created_at", "created_by"]


@click.group()
def saved() -> None:
    """Saved queries: SQL or searches under names."""


@saved.command("list")
@tenant_option
@format_option
@url_option
def list_saved(tenant: str, format_: str | None, url: str | None) -> None:
    """List the saved queries."""
    print_rows(ask("GET", "/api/v1/saved", None, tenant, url)["saved"], format_, _COLUMNS)


@saved.command("save")
@click.argument("name")
@click.option("--sql", help="One SELECT.")
@click.option("-s", "--search", metavar="TEXT", shell_complete=complete_search, help="Or a search (docs/search.md).")
@click.option("--table", default="logs", show_default=True, shell_complete=complete_table, help="The table a search is about.")
@click.option("--description", default="", help="What it is good for.")
@tenant_option
@format_option
@url_option
def save(
    name: str, sql: str | None, search: str | None, table: str, description: str, tenant: str, format_: str | None, url: str | None
) -> None:  # fmt: skip
    """Keep a question under NAME; replaces the one that had it."""
    body = {"sql": sql, "search": search, "table": table, "description": description, "by": asker()}
    print_rows([ask("PUT", f"/api/v1/saved/{name}", body, tenant, url)], format_, _COLUMNS)


@saved.command()
@click.argument("name")
@tenant_option
@format_option
@url_option
def show(name: str, tenant: str, format_: str | None, url: str | None) -> None:
    """Show one."""
    print_rows([ask("GET", f"/api/v1/saved/{name}", None, tenant, url)], format_, _COLUMNS)


@saved.command()
@click.argument("name")
@click.option("--since", metavar="TIME", help="Only events from here on: RFC 3339, or back from now as in 15m, 2h, 7d.")
@click.option("--until", metavar="TIME", help="Only events before this time.")
@tenant_option
@format_option
@url_option
@click.pass_context
def run(context: click.Context, name: str, since: str | None, until: str | None, tenant: str, format_: str | None, url: str | None) -> None:
    """Ask it now; the answer is printed as `pulka query` does."""
    from pulka.surfaces.cli.query import query

    found = ask("GET", f"/api/v1/saved/{name}", None, tenant, url)
    asked = {"sql": found["sql"], "search": found["search"], "table": found["table"] or "logs"}
    context.invoke(query, **asked, since=since, until=until, tenant=tenant, format_=format_, url=url)


@saved.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@tenant_option
@format_option
@url_option
def delete(name: str, dry_run: bool, tenant: str, format_: str | None, url: str | None) -> None:
    """Delete one that no monitor asks."""
    print_rows([ask("GET" if dry_run else "DELETE", f"/api/v1/saved/{name}", None, tenant, url)], format_, _COLUMNS)
