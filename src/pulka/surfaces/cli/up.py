"""`pulka up`: the whole lake in one process."""

import shutil
import sys
from pathlib import Path

import click

from pulka import config

__all__ = ["announce", "program", "up"]


@click.command()
@click.option("--state-dir", metavar="DIR", help="Where everything is kept.")
@click.option("--listen", "http_listen", metavar="HOST:PORT", help="Address of the HTTP API.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting of `pulka config show`.")
def up(state_dir: str | None, http_listen: str | None, assignments: tuple[str, ...]) -> None:
    """Start Pulka and stay in the foreground until Ctrl-C.

    \b
    pulka up
    pulka up --state-dir /data/pulka --listen 0.0.0.0:7710 --set flush_age_s=10
    """
    flags: dict[str, object] = dict(_assignment(text) for text in assignments)
    settings = config.load({**flags, "state_dir": state_dir, "http_listen": http_listen})
    from pulka.app.serving import run

    run(settings, announce)


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"`{text}` needs the form NAME=VALUE")
    return name, value


def announce(addresses: dict[str, str], notes: list[str]) -> None:
    """Say where Pulka listens and what to try next, on stderr."""
    for note in notes:
        click.secho(f"note: {note}", fg="yellow", err=True)
    url = addresses["http"]
    click.secho(f"Pulka is up at {url}", bold=True, err=True)
    if "otlp_http" in addresses or "otlp_grpc" in addresses:
        both = ", ".join(addresses[name] for name in ("otlp_http", "otlp_grpc") if name in addresses)
        click.echo(f"  OpenTelemetry exporters: {both}", err=True)
    click.echo(f"  send:  curl {url}/api/v1/ingest/logs --data-binary '{{\"message\":\"hello\"}}'", err=True)
    click.echo(f"  ask:   {program()} query 'SELECT * FROM logs ORDER BY timestamp DESC LIMIT 10'", err=True)  # noqa: S608 - prose
    click.echo(f"  API:   {url}/openapi.json      stop: Ctrl-C", err=True)


def program() -> str:
    """How this command is called from here: a checkout has it beside its interpreter, not on PATH."""
    beside = Path(sys.executable).with_name("pulka")
    if shutil.which("pulka") or not beside.exists():
        return "pulka"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
