"""Results on stdout: a table on a terminal, machine formats otherwise."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

__all__ = ["FORMATS", "chosen_format", "format_option", "print_rows"]

FORMATS = ("table", "json", "ndjson", "csv", "arrow")
Command = TypeVar("Command", bound=Callable[..., Any])


def format_option(command: Command) -> Command:
    """Adds `--format`; without it a terminal gets a table and a pipe NDJSON."""
    option = click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: table on a terminal, else ndjson.")
    return option(command)


def chosen_format(given: str | None) -> str:
    """The format asked for, or the default of this stdout."""
    return given or ("table" if sys.stdout.isatty() else "ndjson")


def print_rows(rows: Iterable[dict[str, Any]], format_: str | None, columns: list[str]) -> None:
    """Print small administrative results."""
    import csv
    import json

    chosen = chosen_format(format_)
    if chosen == "table":
        _print_table(rows, columns)
    elif chosen == "json":
        click.echo(json.dumps(list(rows)))
    elif chosen == "csv":
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif chosen == "ndjson":
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _print_arrow(list(rows), columns)


def _print_arrow(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """An Arrow IPC stream."""
    import pyarrow as pa

    table = pa.table({column: [row.get(column) for row in rows] for column in columns})
    with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as stream:
        stream.write_table(table)


def _print_table(rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else _cell(row[column]) for column in columns))
    Console().print(table)


def _cell(value: object) -> str:
    from rich.markup import escape

    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))
