"""`pulka store`: look at, check and mend what is stored."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from pulka import config
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["store"]

Answer = TypeVar("Answer")
state_dir_option = click.option("--state-dir", metavar="DIR", help="Where everything is kept.")


@click.group()
def store() -> None:
    """Look at, check and mend what is stored."""


@store.command("ls")
@click.option("--table", help="Only this table.")
@click.option("--tenant", help="Only this tenant.")
@state_dir_option
@format_option
def list_fragments(table: str | None, tenant: str | None, state_dir: str | None, format_: str | None) -> None:
    """List the fragments: plain Parquet files that any tool can read."""
    from pulka.app import offline

    async def rows() -> list[dict[str, Any]]:
        async with offline(_settings(state_dir)) as lake:
            return [_fragment(lake.path(f), f) for f in await lake.catalog.fragments(tenant, table)]

    found = asyncio.run(rows())
    columns = ["tenant", "table", "from", "to", "rows", "bytes", "level", "file"]
    print_rows(sorted(found, key=lambda row: (row["tenant"], row["table"], row["from"])), format_, columns)


def _fragment(path: str, fragment: Any) -> dict[str, Any]:
    return {
        "tenant": fragment.tenant, "table": fragment.table, "from": _time(fragment.min_ns), "to": _time(fragment.max_ns),
        "rows": fragment.rows, "bytes": fragment.bytes, "level": fragment.level, "columns": len(fragment.columns),
        "residual_fields": len(fragment.residual), "file": path,
    }  # fmt: skip


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@store.command()
@state_dir_option
@format_option
def usage(state_dir: str | None, format_: str | None) -> None:
    """Bytes and rows stored per tenant and table."""
    from pulka.app import offline

    async def rows() -> list[dict[str, Any]]:
        async with offline(_settings(state_dir)) as lake:
            return [
                {
                    "tenant": tenant, "table": info.name, "fragments": info.fragments, "rows": info.rows, "bytes": info.bytes,
                    "raw_bytes": info.raw_bytes, "ratio": round(info.raw_bytes / info.bytes, 1) if info.bytes else None,
                }
                for tenant in await lake.catalog.tenants()
                for info in (await lake.catalog.tables(tenant)).values()
            ]  # fmt: skip

    print_rows(asyncio.run(rows()), format_, ["tenant", "table", "fragments", "rows", "bytes", "raw_bytes", "ratio"])


@store.command()
@state_dir_option
@format_option
def check(state_dir: str | None, format_: str | None) -> None:
    """Verify every fragment against the catalog; exit code 1 when something is wrong."""
    from pulka.app import offline

    async def rows() -> list[dict[str, Any]]:
        async with offline(_settings(state_dir)) as lake:
            return [{"problem": f.problem, "object": f.key, "what_to_do": f.advice} async for f in lake.check()]

    found = asyncio.run(rows())
    if found:
        print_rows(found, format_, ["problem", "object", "what_to_do"])
        sys.exit(1)
    click.echo("everything is as the catalog says", err=True)


@store.command()
@click.option("--dry-run", is_flag=True, help="Say what would be rebuilt, change nothing.")
@state_dir_option
def repair(dry_run: bool, state_dir: str | None) -> None:
    """Rebuild a lost catalog from the footers of the fragments. Stop `pulka up` first."""
    from pulka.app import repair_catalog

    report = asyncio.run(repair_catalog(_settings(state_dir), dry_run=dry_run))
    verb = "would be" if dry_run else "were"
    click.echo(f"{report.fragments:,} fragments with {report.rows:,} rows {verb} entered, {report.skipped:,} left out")
    for note in report.notes:
        click.echo(f"note: {note}", err=True)


def _settings(state_dir: str | None) -> config.Settings:
    return config.load({"state_dir": state_dir})
