"""`pulka store`: look at, check and mend what is stored."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from pulka import config
from pulka.surfaces.cli.deletes import delete, deletes
from pulka.surfaces.cli.keeping import hold, retention
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["store"]

state_dir_option = click.option("--state-dir", metavar="DIR", help="Where everything is kept.")


@click.group()
def store() -> None:
    """Look at, check, mend and remove what is stored."""


for command in (delete, deletes, retention, hold):
    store.add_command(command)


@store.command("ls")
@click.option("--table", help="Only this table.")
@click.option("--tenant", help="Only this tenant.")
@state_dir_option
@format_option
def list_fragments(table: str | None, tenant: str | None, state_dir: str | None, format_: str | None) -> None:
    """List the fragments: plain Parquet files that any tool can read."""
    from pulka.app.offline import offline

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
@click.option("--tenant", help="Only this tenant.")
@state_dir_option
@format_option
def usage(tenant: str | None, state_dir: str | None, format_: str | None) -> None:
    """Bytes and rows stored per tenant and table. Retired files hold nothing that is needed and go after a grace."""
    from pulka.app.offline import offline

    async def rows() -> list[dict[str, Any]]:
        async with offline(_settings(state_dir)) as lake:
            return [_usage(one) for one in await lake.catalog.usage(tenant)]

    columns = ["tenant", "table", "fragments", "rows", "bytes", "raw_bytes", "ratio", "retired_fragments", "retired_bytes"]
    print_rows(asyncio.run(rows()), format_, columns)


def _usage(one: Any) -> dict[str, Any]:
    members = ("tenant", "table", "fragments", "rows", "bytes", "raw_bytes", "retired_fragments", "retired_bytes")
    ratio = round(one.raw_bytes / one.bytes, 1) if one.bytes else None
    return {**{name: getattr(one, name) for name in members}, "ratio": ratio}


@store.command()
@click.option("--verify", is_flag=True, help="Decode every page, not only the footers.")
@state_dir_option
@format_option
def check(verify: bool, state_dir: str | None, format_: str | None) -> None:
    """Verify every fragment against the catalog; exit code 1 when something is wrong."""
    from pulka.app.offline import offline

    async def rows() -> list[dict[str, Any]]:
        async with offline(_settings(state_dir)) as lake:
            return [{"problem": f.kind, "object": f.key, "detail": f.detail, "what_to_do": f.todo} async for f in lake.check(verify=verify)]

    found = asyncio.run(rows())
    if found:
        print_rows(found, format_, ["problem", "object", "detail", "what_to_do"])
        sys.exit(1)
    click.echo("everything is as the catalog says", err=True)


@store.command()
@click.option("--orphans", is_flag=True, help="Instead, delete the objects that no catalog entry mentions.")
@state_dir_option
def repair(orphans: bool, state_dir: str | None) -> None:
    """Rebuild a lost catalog from the footers of the fragments: move the old one away first, and stop `pulka up`. Deletes nothing."""
    if orphans:
        asyncio.run(_delete_orphans(_settings(state_dir)))
        return
    from pulka.app.offline import repair_catalog

    done = asyncio.run(repair_catalog(_settings(state_dir)))
    click.echo(f"{len(done.kept):,} fragments were entered, {len(done.left_out):,} left out because others hold their rows")
    for key in done.unreadable:
        click.echo(f"cannot be read, left where it is: {key}", err=True)
    if done.unreadable:
        sys.exit(1)


@store.command()
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be merged, in which order and why.")
@click.option("--now", is_flag=True, help="Merge until nothing is left to merge. Stop `pulka up` first: it merges by itself.")
@state_dir_option
@format_option
def compact(only_plan: bool, now: bool, state_dir: str | None, format_: str | None) -> None:
    """Merge small fragments into large ones, and those into ones that each hold a narrow range of the sort keys."""
    if only_plan == now:
        raise click.UsageError("say either --plan or --now")
    if now:
        asyncio.run(_compact(_settings(state_dir)))
        return
    from pulka.app.offline import compaction_plan

    merges = asyncio.run(compaction_plan(_settings(state_dir)))
    columns = ["tenant", "table", "window", "stage", "fragments", "rows", "bytes", "outputs", "reason"]
    print_rows([_merge(merge) for merge in merges], format_, columns)


def _merge(merge: Any) -> dict[str, Any]:
    window = f"{_time(merge.window.start_ns)}/{timedelta(microseconds=merge.window.width_ns // 1000)}"
    return {
        "tenant": merge.first.tenant, "table": merge.first.table, "window": window, "stage": merge.stage,
        "fragments": len(merge.inputs), "rows": merge.rows, "bytes": merge.bytes, "outputs": merge.outputs, "reason": merge.reason,
        "inputs": [fragment.id for fragment in merge.inputs],
    }  # fmt: skip


async def _compact(settings: config.Settings) -> None:
    from pulka.app.offline import compact

    live, done, failures = sys.stderr.isatty(), "nothing to merge", 0
    async for counts in compact(settings):
        done = f"{counts.merges:,} merges of {counts.inputs:,} fragments into {counts.outputs:,}, {counts.bytes_read / 1e6:,.1f} MB read"
        failures = counts.failures
        done += f", {failures:,} failed" if failures else ""
        click.echo(f"\r{done}   " if live else done, err=True, nl=not live)
    if live:
        click.echo("", err=True)
    click.echo(done)
    if failures:
        sys.exit(1)


async def _delete_orphans(settings: config.Settings) -> None:
    from pulka.app.offline import delete_orphans

    deleted = [key async for key in delete_orphans(settings)]
    for key in deleted:
        click.echo(f"deleted {key}")
    click.echo(f"{len(deleted):,} objects were deleted", err=True)


def _settings(state_dir: str | None) -> config.Settings:
    return config.load({"state_dir": state_dir})
