"""`pulka store retention` and `pulka store hold`."""

from typing import Any

import click

from pulka.surfaces.cli.client import asker, connect, raise_problem, url_option
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["ask", "hold", "retention", "tenant_option"]

_POLICY = ["id", "table", "where", "keep_s", "created_at", "created_by"]
_HOLD = ["id", "table", "from", "to", "reason", "created_at", "created_by"]
tenant_option = click.option("--tenant", default="default", show_default=True)


@click.group()
def retention() -> None:
    """How long events are kept."""


@retention.command("set")
@click.argument("table")
@click.argument("keep")
@click.option("--where", metavar="SQL", help="Only events for which this holds; of several such policies the longest decides.")
@tenant_option
@format_option
@url_option
def set_policy(table: str, keep: str, where: str | None, tenant: str, format_: str | None, url: str | None) -> None:
    """Keep the events of TABLE for KEEP, as in 36h, 30d, 52w; 0 is for ever. TABLE `*`: every table without a policy.

    \b
    pulka store retention set logs 30d
    pulka store retention set logs 3d --where "severity = 'DEBUG'"
    """
    _one("PUT", "/api/v1/retention", {"table": table, "keep": keep, "where": where, "by": asker()}, tenant, url, format_, _POLICY)


@retention.command("ls")
@tenant_option
@format_option
@url_option
def list_policies(tenant: str, format_: str | None, url: str | None) -> None:
    """List the policies."""
    found = ask("GET", "/api/v1/retention", None, tenant, url)
    print_rows(found["policies"], format_, _POLICY)
    kept = f"{found['default_s']:,} s" if found["default_s"] else "for ever"
    click.echo(f"tables without a policy are kept {kept} (the setting `retention_s`)", err=True)


@retention.command("rm")
@click.argument("policy")
@tenant_option
@format_option
@url_option
def remove_policy(policy: str, tenant: str, format_: str | None, url: str | None) -> None:
    """Take back the policy with the id POLICY."""
    _one("DELETE", f"/api/v1/retention/{policy}", None, tenant, url, format_, _POLICY)


@click.group()
def hold() -> None:
    """Legal holds: what is kept whatever deletes and retention say."""


@hold.command("set")
@click.argument("table")
@click.option("--from", "start", metavar="TIME", help="Only events from here on: RFC 3339, or back from now as in 15m, 2h, 7d.")
@click.option("--to", "end", metavar="TIME", help="Only events before this time.")
@click.option("--reason", default="", help="Why, for the record.")
@tenant_option
@format_option
@url_option
def set_hold(
    table: str, start: str | None, end: str | None, reason: str, tenant: str, format_: str | None, url: str | None
) -> None:  # fmt: skip
    """Keep the events of TABLE in the fragments until the hold is removed. Deletes and retention still hide them from queries."""
    body = {"table": table, "from": start, "to": end, "reason": reason, "by": asker()}
    _one("POST", "/api/v1/holds", body, tenant, url, format_, _HOLD)


@hold.command("ls")
@tenant_option
@format_option
@url_option
def list_holds(tenant: str, format_: str | None, url: str | None) -> None:
    """List the holds."""
    print_rows(ask("GET", "/api/v1/holds", None, tenant, url)["holds"], format_, _HOLD)


@hold.command("rm")
@click.argument("wanted", metavar="HOLD")
@tenant_option
@format_option
@url_option
def release(wanted: str, tenant: str, format_: str | None, url: str | None) -> None:
    """End the hold with the id HOLD: what it kept goes in the background."""
    _one("DELETE", f"/api/v1/holds/{wanted}", None, tenant, url, format_, _HOLD)


def _one(
    method: str, path: str, body: dict[str, Any] | None, tenant: str, url: str | None, format_: str | None, columns: list[str]
) -> None:  # fmt: skip
    print_rows([ask(method, path, body, tenant, url)], format_, columns)


def ask(method: str, path: str, body: dict[str, Any] | None, tenant: str, url: str | None) -> dict[str, Any]:
    """The JSON answer of one request."""
    with connect(url) as client:
        response = client.request(method, path, json=body, headers={"X-Pulka-Tenant": tenant})
        raise_problem(response)
    answer: dict[str, Any] = response.json()
    return answer
