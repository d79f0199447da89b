"""`pulka monitor`: questions that are asked on schedule, and who is told."""

import json
import os
from typing import IO, Any

import click

from pulka.surfaces.cli.client import asker, url_option
from pulka.surfaces.cli.completing import complete_search, complete_table
from pulka.surfaces.cli.keeping import ask, tenant_option
from pulka.surfaces.cli.output import chosen_format, format_option, print_rows

__all__ = ["monitor"]

_SUMMARY = ["name", "state", "alerts", "no_data", "groups", "question", "threshold", "every_s", "window_s", "evaluated_at", "muted_until"]
_GROUP = ["group", "state", "value", "since"]
_SECRET = "PULKA_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


@click.group()
def monitor() -> None:
    """Monitors: alerts on any query (docs/monitors.md)."""


@monitor.command("list")
@tenant_option
@format_option
@url_option
def list_monitors(tenant: str, format_: str | None, url: str | None) -> None:
    """List the monitors and their states."""
    print_rows(ask("GET", "/api/v1/monitors", None, tenant, url)["monitors"], format_, _SUMMARY)


@monitor.command()
@click.argument("name")
@click.option("--from", "file", type=click.File(), metavar="FILE", help="The definition as JSON (docs/monitors.md); options go before it.")
@click.option("-s", "--search", metavar="TEXT", shell_complete=complete_search, help="Count the events that this search finds.")
@click.option("--sql", help="Or one SELECT with a column `value`.")
@click.option("--saved", metavar="QUERY", help="Or a saved query.")
@click.option("--table", shell_complete=complete_table, help="The table a search is about; default: logs.")
@click.option("--by", multiple=True, metavar="FIELD", help="One alert per value of this field; may be repeated.")
@click.option("--value", help="The column of SQL with the number; default: value.")
@click.option("--alert", metavar="'OP NUMBER'", help="As in '> 100'.")
@click.option("--recover", type=float, help="Where the alert is over; default: where it began.")
@click.option("--times", type=int, help="Alert after so many windows in a row; default: 1.")
@click.option("--change", type=click.Choice(["percent", "difference"]), help="Compare with an earlier window.")
@click.option("--change-ago", metavar="TIME", help="How much earlier; default: 1h.")
@click.option("--window", metavar="TIME", help="What each evaluation looks at; default: 5m.")
@click.option("--every", metavar="TIME", help="How often it is evaluated; default: 1m.")
@click.option("--delay", metavar="TIME", help="How long late events are waited for; default: 30s.")
@click.option("--no-data", type=click.Choice(["keep", "notify", "ok"]), help="What a group without a value means; default: keep its state.")
@click.option("--repeat", metavar="TIME", help="How often an alert that stays is told again; default: never.")
@click.option("--message", help="Text that notifications carry.")
@click.option("--webhook", multiple=True, metavar="URL", help=f"Tell this URL; signed with the secret in {_SECRET}, if it is set.")
@click.option("--email", multiple=True, metavar="ADDRESS", help="Tell this address.")
@tenant_option
@format_option
@url_option
def create(name: str, file: IO[str] | None, alert: str | None, webhook: tuple[str, ...], email: tuple[str, ...], tenant: str, format_: str | None, url: str | None, **given: Any) -> None:  # fmt: skip
    """Make or replace the monitor NAME.

    \b
    pulka monitor create errors --search 'level:error' --by service --alert '> 50' --recover 20 --email team@example.com
    pulka monitor create slow --table spans --sql 'SELECT service, approx_percentile_cont(duration_ns, 0.95) / 1e6 AS value
        FROM spans GROUP BY service' --by service --alert '> 500' --webhook https://example.com/hook
    pulka monitor create quiet --search 'service:cron' --alert '< 1' --window 1h
    """
    body: dict[str, Any] = json.load(file) if file else {}
    body |= {key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value not in (None, ())}
    body |= _threshold(alert) if alert else {}
    if webhook:
        secret = os.environ.get(_SECRET, "")
        body["webhooks"] = [{"url": one, "secret": secret} for one in webhook]
    if email:
        body["emails"] = list(email)
    print_whole(ask("PUT", f"/api/v1/monitors/{name}", {**body, "created_by": asker()}, tenant, url), format_)


def _threshold(text: str) -> dict[str, Any]:
    op = text.rstrip("0123456789.-+eE ").strip()
    try:
        return {"op": op or ">", "alert": float(text[len(op) :] if text.startswith(op) else text)}
    except ValueError:
        raise click.UsageError(f"`{text}` needs the form '> 100'") from None


@monitor.command()
@click.argument("name")
@tenant_option
@format_option
@url_option
def show(name: str, tenant: str, format_: str | None, url: str | None) -> None:
    """Show a monitor and the states of its groups; secrets are not shown."""
    print_whole(ask("GET", f"/api/v1/monitors/{name}", None, tenant, url), format_)


@monitor.command("test")
@click.argument("name")
@click.option("--notify", is_flag=True, help="Also send a test to everyone who is told.")
@tenant_option
@format_option
@url_option
def try_out(name: str, notify: bool, tenant: str, format_: str | None, url: str | None) -> None:
    """Evaluate a monitor now, keeping nothing: the values and the states they would mean."""
    found = ask("POST", f"/api/v1/monitors/{name}/test", {"notify": notify}, tenant, url)
    print_rows(found["groups"], format_, _GROUP)
    if notify:
        click.echo(f"{found['notifications']} tests are on their way", err=True)


@monitor.command()
@click.argument("name")
@click.option("--for", "length", default="1h", show_default=True, metavar="TIME", help="As in 2h; 0 ends it.")
@tenant_option
@format_option
@url_option
def mute(name: str, length: str, tenant: str, format_: str | None, url: str | None) -> None:
    """Send nothing for a while; states and their history go on, and what still stands at the end is sent then."""
    print_rows([ask("POST", f"/api/v1/monitors/{name}/mute", {"for": length}, tenant, url)], format_, ["name", "muted_until"])


@monitor.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@tenant_option
@format_option
@url_option
def delete(name: str, dry_run: bool, tenant: str, format_: str | None, url: str | None) -> None:
    """Delete a monitor; its history stays in the table `monitor_events`."""
    found = ask("GET" if dry_run else "DELETE", f"/api/v1/monitors/{name}", None, tenant, url)
    print_rows([{"name": found["name"], "deleted": not dry_run}], format_, ["name", "deleted"])


def print_whole(found: dict[str, Any], format_: str | None) -> None:
    """One object: its members below each other on a terminal."""
    if chosen_format(format_) == "table":
        print_rows([{"member": key, "value": json.dumps(value) if isinstance(value, list | dict) else value} for key, value in found.items()], format_, ["member", "value"])
    else:
        print_rows([found], format_, list(found))
