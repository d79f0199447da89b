"""`pulka tail`: the newest events, again and again."""

import asyncio
import json
from typing import Any

import click

from pulka.clock import SystemClock
from pulka.model.moments import moment_ns, rfc3339
from pulka.model.tables import check_table
from pulka.surfaces.cli.client import connect, raise_problem, url_option

__all__ = ["tail"]

_OVERLAP_NS = 5_000_000_000  # events arrive out of order: the last seconds are asked for again, and shown once
_ROWS = 1000


@click.command()
@click.argument("table", default="logs")
@click.option("--where", metavar="SQL", help="Only events for which this condition holds.")
@click.option("-s", "--search", metavar="TEXT", help="Only events that this search finds (docs/search.md).")
@click.option("--every", "every_s", default=1.0, show_default=True, help="Seconds between questions.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per event instead of a line of text.")
@click.option("--tenant", default="default", show_default=True)
@url_option
def tail(
    table: str, where: str | None, search: str | None, every_s: float, count: int | None, as_json: bool, tenant: str, url: str | None
) -> None:  # fmt: skip
    """Print events as they come, oldest first, until Ctrl-C.

    \b
    pulka tail logs --search 'level:>=warn -env:dev'
    pulka tail logs --where "severity = 'ERROR'"
    """
    if where is not None and search is not None:
        raise click.UsageError("give either --where or --search, not both")
    clock = SystemClock()
    since_ns = clock.now_ns() - _OVERLAP_NS
    seen: dict[str, int] = {}
    shown = 0
    with connect(url) as client:
        while count is None or shown < count:
            question = _searched(check_table(table), search, since_ns) if search is not None else _selected(check_table(table), where, since_ns)
            for line, row in _poll(client, question, tenant):
                if line not in seen and (count is None or shown < count):
                    click.echo(line if as_json else _text(row))
                    shown += 1
                seen[line] = moment_ns(row["timestamp"], 0)
            since_ns = max(since_ns, max(seen.values(), default=0) - _OVERLAP_NS)
            seen = {line: ns for line, ns in seen.items() if ns >= since_ns}
            if count is None or shown < count:
                asyncio.run(clock.sleep(every_s))


def _selected(table: str, where: str | None, since_ns: int) -> dict[str, Any]:
    condition = f"AND ({where})" if where else ""
    sql = (
        f"SELECT * FROM {table} "  # noqa: S608 - the reader's own SQL, read-only
        f"WHERE timestamp >= to_timestamp_nanos({since_ns}) {condition} ORDER BY timestamp DESC LIMIT {_ROWS}"
    )
    return {"sql": sql}


def _searched(table: str, search: str, since_ns: int) -> dict[str, Any]:
    return {"search": search, "table": table, "limit": _ROWS, "window": {"start": rfc3339(since_ns)}}


def _poll(client: Any, question: dict[str, Any], tenant: str) -> list[tuple[str, dict[str, Any]]]:
    response = client.post("/api/v1/query", json={**question, "format": "ndjson"}, headers={"X-Pulka-Tenant": tenant})
    raise_problem(response)
    rows = [json.loads(line) for line in response.text.splitlines()]
    return [(_line(row), row) for row in reversed(rows) if "timestamp" in row]


def _line(row: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in row.items() if value is not None})


_HEAD = ("timestamp", "severity", "service")


def _text(row: dict[str, Any]) -> str:
    head = [str(row[key]) for key in _HEAD if row.get(key) is not None]
    body = row.get("message") or row.get("name") or _line({key: value for key, value in row.items() if key not in _HEAD})
    return " ".join([*head, str(body)])
