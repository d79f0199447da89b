"""The root command: loads each command only when it is called, and turns errors into exit codes."""

import importlib
import json
import os
import sys
from itertools import pairwise
from typing import Any, NoReturn

import click

from pulka.errors import PulkaError, nearest

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: dict[str, str] = {
    "up": "pulka.surfaces.cli.up:up",
    "demo": "pulka.surfaces.cli.demo:demo",
    "ingest": "pulka.surfaces.cli.ingest:ingest",
    "query": "pulka.surfaces.cli.query:query",
    "queries": "pulka.surfaces.cli.queries:queries",
    "tail": "pulka.surfaces.cli.tail:tail",
    "compare": "pulka.surfaces.cli.compare:compare",
    "patterns": "pulka.surfaces.cli.patterns:patterns",
    "trace": "pulka.surfaces.cli.traces:trace",
    "services": "pulka.surfaces.cli.traces:services",
    "map": "pulka.surfaces.cli.traces:map_",
    "saved": "pulka.surfaces.cli.saved:saved",
    "monitor": "pulka.surfaces.cli.monitor:monitor",
    "store": "pulka.surfaces.cli.store:store",
    "edge": "pulka.surfaces.cli.edge:edge",
    "doctor": "pulka.surfaces.cli.doctor:doctor",
    "config": "pulka.surfaces.cli.config:config",
    "version": "pulka.surfaces.cli.version:version",
}


class LazyGroup(click.Group):
    """Imports a command's module when it is used, so that `pulka --help` starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, name = target.split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = nearest(args[0], list(COMMANDS))
            ctx.fail(f"there is no command `{args[0]}`" + (f"; {hint}" if hint else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Pulka: your telemetry in open Parquet on storage you own, answered in SQL.

    \b
    pulka up                                       start the lake
    pulka ingest app.ndjson --table logs           send a file to it
    pulka query "SELECT count(*) FROM logs"        ask
    """


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    as_json = _wants_json(sys.argv)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # Pulka starts programs and never goes on in a fork; gRPC would warn each time
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except PulkaError as error:
        _fail(error.as_dict(), error.exit_code, as_json)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if as_json:
            _fail({"kind": "usage", "message": error.format_message(), "hint": "see --help"}, 2, as_json)
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _wants_json(argv: list[str]) -> bool:
    return "--format=json" in argv or ("--format", "json") in pairwise(argv)


def _fail(error: dict[str, str], code: int, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": error}))
    else:
        click.secho(f"error: {error['message']}", fg="red", err=True)
        if error["hint"]:
            click.echo(f"  {error['hint']}", err=True)
    sys.exit(code)
