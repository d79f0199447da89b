"""What a shell completes: searches and tables, as the server knows them. Without a server there is nothing to suggest."""

from typing import Any

import click
import httpx
from click.shell_completion import CompletionItem

from pulka.errors import PulkaError
from pulka.surfaces.cli.options import ask

__all__ = ["complete_search", "complete_table"]


def complete_search(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The search so far with each suggestion in its place."""
    found = _asked(ctx, "/api/v1/complete", search=incomplete, table=ctx.params.get("table") or "logs")
    first, behind = found.get("span", (0, 0))
    return [
        CompletionItem(incomplete[:first] + one["text"] + incomplete[behind:], help=f"{one['kind']} {one['detail']}".strip())
        for one in found.get("suggestions", ())
    ]  # fmt: skip


def complete_table(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tables that begin like this."""
    return [CompletionItem(one["name"]) for one in _asked(ctx, "/api/v1/tables").get("tables", ()) if one["name"].startswith(incomplete)]


def _asked(ctx: click.Context, path: str, **params: str) -> dict[str, Any]:
    try:
        return ask("GET", path, ctx.params.get("tenant") or "default", ctx.params.get("url"), params=params)
    except (PulkaError, httpx.HTTPError):
        return {}
