"""`pulka query`: SQL or a search in, rows out."""

import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import click

from pulka.surfaces.cli.client import base_url, connect, raise_problem, url_option
from pulka.surfaces.cli.completing import complete_search, complete_table
from pulka.surfaces.cli.output import chosen_format, format_option
from pulka.surfaces.cli.progress import new_query_id, watched
from pulka.surfaces.client.problems import error_of

__all__ = ["query"]

_WIDEST_TABLE = 24


@click.command()
@click.argument("sql", required=False)
@click.option("-s", "--search", metavar="TEXT", shell_complete=complete_search, help="Ask in the search syntax (docs/search.md) instead of SQL.")
@click.option("--table", default="logs", show_default=True, shell_complete=complete_table, help="The table a search is about.")
@click.option("--show-sql", is_flag=True, help="Print the SQL of a search on stderr.")
@click.option("--since", metavar="TIME", help="Only events from here on: RFC 3339, or back from now as in 15m, 2h, 7d.")
@click.option("--until", metavar="TIME", help="Only events before this time.")
@click.option("--limit", "rows", type=click.IntRange(1), help="Most rows of the answer.")
@click.option("--explain", is_flag=True, help="Show what would be read, and what pruning saves, instead of rows.")
@click.option("--stats", is_flag=True, help="Print the statistics of the answer on stderr.")
@click.option("--progress/--no-progress", default=None, help="Show on stderr how far the query is; without either, on a terminal.")
@click.option("--tenant", default="default", show_default=True)
@format_option
@url_option
def query(
    sql: str | None, search: str | None, table: str, show_sql: bool, since: str | None, until: str | None, rows: int | None,
    explain: bool, stats: bool, progress: bool | None, tenant: str, format_: str | None, url: str | None,
) -> None:  # fmt: skip
    """Answer SQL, or a search. SQL is an argument, or stdin when it is `-` or missing. Ctrl-C stops the query on the server too.

    \b
    pulka query "SELECT service, count(*) FROM logs GROUP BY service" --since 1h
    echo "SELECT * FROM spans WHERE http.status_code >= 500" | pulka query --format csv
    pulka query --search 'service:web status:error "connection reset" -env:dev' --show-sql
    """
    body = {**_question(sql, search, table, rows), "window": {"start": since, "end": until}}
    with connect(url) as client:
        if explain:
            response = client.post("/api/v1/explain", json=body, headers={"X-Pulka-Tenant": tenant})
            raise_problem(response)
            _show_sql(response, show_sql and search is not None)
            _explain(response, format_)
            return
        chosen = chosen_format(format_)
        body["limits"] = {"rows": rows}
        body["format"] = "ndjson" if chosen == "table" else chosen
        query_id = new_query_id()
        headers = {"X-Pulka-Tenant": tenant, "Pulka-Query-Id": query_id}
        with watched(base_url(url), query_id, tenant, progress), client.stream("POST", "/api/v1/query", json=body, headers=headers) as response:
            raise_problem(response)
            _show_sql(response, show_sql and search is not None)
            if chosen in ("table", "ndjson"):
                _print_lines(response.iter_lines(), chosen == "table", stats)
            else:
                for chunk in response.iter_bytes():
                    sys.stdout.buffer.write(chunk)


def _question(sql: str | None, search: str | None, table: str, rows: int | None) -> dict[str, Any]:
    """The part of the request that says what is asked."""
    if search is not None:
        if sql is not None:
            raise click.UsageError("give either SQL or --search, not both")
        return {"search": search, "table": table} | ({"limit": rows} if rows else {})
    if sql in (None, "-"):
        if sys.stdin.isatty():
            raise click.UsageError('give the SQL as an argument, as in: pulka query "SELECT 1"')
        sql = sys.stdin.read()
    return {"sql": sql}


def _show_sql(response: Any, wanted: bool) -> None:
    if wanted and "Pulka-SQL" in response.headers:
        click.echo(unquote(response.headers["Pulka-SQL"]), err=True)
    elif wanted:
        click.echo("the SQL is too long for a header: see `sql` in --stats", err=True)


def _print_lines(lines: Iterable[str], as_table: bool, stats: bool) -> None:
    rows: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith('{"_stats":') or line.startswith('{"_error":'):
            _finish(json.loads(line), stats)
        elif as_table:
            rows.append(json.loads(line))
        else:
            click.echo(line)
    if as_table:
        _table(rows)


def _finish(trailer: dict[str, Any], stats: bool) -> None:
    if "_error" in trailer:
        raise error_of(trailer["_error"])
    if trailer["_stats"].get("truncated"):
        click.echo("the answer is cut: raise --limit or the setting `query_rows`", err=True)
    if stats:
        click.echo(json.dumps(trailer["_stats"], indent=2), err=True)


def _table(rows: list[dict[str, Any]]) -> None:
    """Columns that are empty in every row are left out of a wide table."""
    columns = list(rows[0]) if rows else []
    if len(columns) > _WIDEST_TABLE:
        columns = [column for column in columns if any(row.get(column) is not None for row in rows)]
    from pulka.surfaces.cli.output import print_rows

    print_rows(rows, "table", columns)
    click.echo(f"{len(rows):,} rows", err=True)


def _explain(response: Any, format_: str | None) -> None:
    plan = response.json()
    if chosen_format(format_) == "json":
        click.echo(json.dumps(plan))
        return
    for table in plan["tables"]:
        pruned = ", ".join(f"{count} by {reason}" for reason, count in table["pruned"].items() if count) or "none"
        click.echo(f"{table['table']}: {table['fragments_total']} fragments, pruned {pruned}; {table['scanned']} scanned")
        click.echo(f"  {table['bytes']:,} bytes on storage, {table['fresh_rows']:,} fresh rows")
    click.echo(plan["plan"])
