"""`pulka trace`, `pulka services` and `pulka map`: spans, and what the agent saw, put together."""

from typing import Any
from urllib.parse import quote

import click

from pulka.surfaces.cli.options import ask, question_options, window_options
from pulka.surfaces.cli.output import chosen_format, print_rows

__all__ = ["map_", "services", "trace"]

_RED = ["source", "requests", "rate", "error_share", "p50_ms", "p99_ms"]


@click.command()
@click.argument("trace_id")
@window_options
@question_options
def trace(trace_id: str, since: str | None, until: str | None, tenant: str, format_: str | None, url: str | None) -> None:
    """Show one trace: its spans as a tree, the time each takes itself, and its part of the critical path.

    \b
    pulka trace 7e144dbe057e266f21f011a4f1759b39
    """
    found = ask("GET", f"/api/v1/trace/{quote(trace_id, safe='')}", tenant, url, params=_window(since, until))
    if chosen_format(format_) != "table":
        return print_rows(found["spans"], format_, list(found["spans"][0]))
    print_rows([_span(one, found["start_ns"]) for one in found["spans"]], format_, ["span", "service", "at_ms", "took_ms", "self_ms", "critical_ms", "status"])
    click.echo(f"{len(found['spans']):,} spans in {len(found['services'])} services, {found['duration_ns'] / 1e6:.1f} ms, {found['errors']} errors", err=True)


@click.command()
@window_options
@question_options
def services(since: str | None, until: str | None, tenant: str, format_: str | None, url: str | None) -> None:
    """List the services that spans or the agent tell of: rate, errors, duration, and which of the two says so.

    \b
    pulka services --since 15m
    """
    found = ask("GET", "/api/v1/services", tenant, url, params=_window(since, until))
    _print_red(found["services"], ["service"], format_)


@click.command("map")
@window_options
@question_options
def map_(since: str | None, until: str | None, tenant: str, format_: str | None, url: str | None) -> None:
    """List who calls whom: rate, errors and duration of every edge between services, databases and queues.

    \b
    pulka map --since 15m
    """
    found = ask("GET", "/api/v1/map", tenant, url, params=_window(since, until))
    _print_red(found["edges"], ["client", "server"], format_)


def _window(since: str | None, until: str | None) -> dict[str, str]:
    return {name: moment for name, moment in (("start", since), ("end", until)) if moment is not None}


def _print_red(rows: list[dict[str, Any]], names: list[str], format_: str | None) -> None:
    if chosen_format(format_) == "table":
        rows = [
            {**row, "rate": f"{row['rate']:.2f}/s", "error_share": f"{row['error_share']:.1%}"}
            | {f"{quantile}_ms": _ms(row[f"{quantile}_ns"]) for quantile in ("p50", "p99")}
            for row in rows
        ]
        return print_rows(rows, format_, names + _RED)
    print_rows(rows, format_, [*names, "source", "requests", "rate", "errors", "error_share", "mean_ns", "p50_ns", "p95_ns", "p99_ns"])


def _span(one: dict[str, Any], start_ns: int) -> dict[str, Any]:
    times = {"at_ms": one["start_ns"] - start_ns, "took_ms": one["duration_ns"], "self_ms": one["self_ns"], "critical_ms": one["critical_ns"]}
    name = "  " * one["depth"] + str(one["name"] or one["span_id"])
    return {"span": name, "service": one["service"], "status": one["status"], **{column: _ms(time) for column, time in times.items()}}


def _ms(nanoseconds: float | None) -> str:
    return "" if nanoseconds is None else f"{nanoseconds / 1e6:.2f}"
