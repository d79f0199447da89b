"""`pulka edge run | top | plan | doctor`: the agent of a host. It stands apart from the lake, so it is wired here and not in `pulka.app` (which loads the engine)."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pulka import config
from pulka.errors import Misconfigured
from pulka.surfaces.cli.output import chosen_format, format_option, print_rows

if TYPE_CHECKING:
    from pulka.edge.agent import Agent, EdgeSettings
    from pulka.edge.shipping import Shipper

__all__ = ["doctor", "plan", "run", "top"]


_without = click.option("--without", multiple=True, metavar="FEATURE", help="A feature of `pulka edge doctor` to leave off, or one of edge_without; may be repeated.")


@click.command()
@click.option("--to", "url", metavar="URL", help="The OTLP receiver, as http://127.0.0.1:4318; default: edge_otlp_url.")
@click.option("--every", "every_s", type=float, metavar="SECONDS", help="Interval of the metrics; default: edge_interval_s.")
@click.option("--state-dir", metavar="DIR", help="Where the spool is kept.")
@click.option("--managed", is_flag=True, help="For a program that runs this one: end when standard input ends, tell the state as JSON lines on standard output.")
@_without
def run(url: str | None, every_s: float | None, state_dir: str | None, managed: bool, without: tuple[str, ...]) -> None:
    """Watch, and send rates, errors and durations to an OTLP receiver until Ctrl-C.

    Nothing of a service is changed or restarted, and whatever ends this process detaches everything. While the receiver is away, what was
    seen waits on disk.
    """
    import logging

    settings = config.load({"edge_otlp_url": url, "edge_interval_s": every_s, "state_dir": state_dir})
    logging.basicConfig(level=str(settings["log_level"]).upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    from pulka.clock import SystemClock

    clock = SystemClock()
    shipper = _shipper(settings, clock)
    if managed:
        return _run_managed(settings, without, shipper, clock)
    agent = _agent(settings, without, clock)
    _say_features(agent)
    click.secho(f"Watching; metrics go to {settings['edge_otlp_url']} every {settings['edge_interval_s']:g} s. Stop: Ctrl-C", bold=True, err=True)
    asyncio.run(_until_stopped(agent, shipper, float(settings["edge_interval_s"]), _on_signal))
    status = agent.status()
    click.echo(f"{status.counters['transactions']:,} transactions seen, {shipper.sent:,} exports sent, {sum(status.drops.values()):,} packets left out", err=True)


async def _until_stopped(
    agent: "Agent", shipper: "Shipper", every_s: float, on: Callable[[asyncio.Event], None], seen: Callable[[int], None] = lambda rows: None
) -> None:  # fmt: skip
    until = asyncio.Event()
    on(until)
    await agent.run(shipper, every_s, until, seen)


def _on_signal(until: asyncio.Event) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, until.set)


def _on_end_of_input(until: asyncio.Event) -> None:
    """Also when whoever holds the other end is killed: the kernel closes it."""
    _on_signal(until)

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            until.set()
            loop.remove_reader(sys.stdin.fileno())

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), read)


def _run_managed(settings: config.Settings, without: tuple[str, ...], shipper: "Shipper", clock: Any) -> None:
    try:
        agent = _agent(settings, without, clock)
    except Misconfigured as error:
        _tell({"state": "off", "reason": error.message})
        sys.exit(error.exit_code)
    _tell(_state(agent, shipper))
    asyncio.run(_until_stopped(agent, shipper, float(settings["edge_interval_s"]), _on_end_of_input, lambda rows: _tell(_state(agent, shipper))))


def _state(agent: "Agent", shipper: "Shipper") -> dict[str, Any]:
    status = agent.status()
    return {
        "state": "watching",
        "features_off": {feature.name: feature.reason for feature in status.features if feature.works is not True},
        "connections": status.connections,
        "transactions": status.counters["transactions"],
        "left_out": sum(status.drops.values()),
        "exports": shipper.sent,
        "trouble": shipper.trouble,
    }


def _tell(state: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # who listened is gone; the end of input tells so too
        click.echo(json.dumps(state))


@click.command()
@click.option("--every", "every_s", type=float, default=2.0, metavar="SECONDS", show_default=True, help="How often the table is renewed.")
@click.option("--count", type=int, metavar="N", help="End after so many tables; default: on a terminal never, else 1.")
@_without
@format_option
def top(every_s: float, count: int | None, without: tuple[str, ...], format_: str | None) -> None:
    """Show rate, errors and duration of what services do right now. Sends nothing."""
    from pulka.clock import SystemClock

    clock = SystemClock()
    agent = _agent(config.load(), without, clock)
    live = chosen_format(format_) == "table" and sys.stdout.isatty()
    turns = count if count is not None else (None if live else 1)
    try:
        asyncio.run(_show(agent, clock, every_s, turns, format_, live))
    finally:
        agent.stop()


async def _show(agent: "Agent", clock: Any, every_s: float, turns: int | None, format_: str | None, live: bool) -> None:
    shown = 0
    while turns is None or shown < turns:
        await clock.sleep(every_s)
        rows = [_row(row, every_s) for row in agent.rows() if row.count or row.one_way]
        if live:
            click.clear()
        print_rows(rows[:40] if live else rows, format_, list(_row_columns))
        shown += 1


_row_columns = ("service", "side", "peer", "protocol", "operation", "target", "status", "per_s", "error", "p50_ms", "p99_ms", "count")


def _row(row: Any, every_s: float) -> dict[str, object]:
    return {
        "service": row.service,
        "side": "client" if row.is_client else "server",
        "peer": row.peer or (f"{row.address}:{row.port}" if row.is_client else row.address),
        "protocol": row.protocol + ("+tls" if row.tls else ""),
        "operation": row.operation,
        "target": row.target,
        "status": row.status,
        "per_s": round((row.count + row.one_way) / every_s, 1),
        "error": row.error or "",
        "p50_ms": round(row.p50 * 1e3, 3),
        "p99_ms": round(row.p99 * 1e3, 3),
        "count": row.count + row.one_way,
    }


@click.command()
@format_option
def plan(format_: str | None) -> None:
    """List the services that would be seen, how each was named, and by which ways. Attaches nothing."""
    _linux()
    from pulka.edge.plan import plan as services

    rows = [
        {
            "service": one.service,
            "source": one.source,
            "runtime": one.runtime,
            "pids": " ".join(map(str, one.pids)),
            "ports": " ".join(map(str, one.ports)),
            "tls": ", ".join(one.tls),
        }
        for one in services()
    ]
    print_rows(rows, format_, ["service", "source", "runtime", "pids", "ports", "tls"])


@click.command()
@format_option
def doctor(format_: str | None) -> None:
    """Say which features work on this machine and by which way, which do not, and why; exit code 1 when the agent cannot start."""
    _linux()
    from pulka._native import edge_examine
    from pulka.edge.agent import programs

    try:
        features = edge_examine(programs())
    except (OSError, RuntimeError) as error:
        raise Misconfigured(str(error), hint="the agent needs root, cgroup v2 and a kernel with BTF (Linux 5.10 or newer)") from error
    words = {True: "yes", False: "no", None: "could not tell"}
    rows = [
        {"feature": one.name, "works": words[one.works], "required": "yes" if one.required else "no", "purpose": one.purpose, "reason": one.reason or one.way}
        for one in features
    ]
    print_rows(rows, format_, ["feature", "works", "required", "purpose", "reason"])
    if any(one.required and one.works is False for one in features):
        sys.exit(1)


def _linux() -> None:
    if sys.platform != "linux":
        raise Misconfigured("the agent runs on Linux only", hint="`pulka edge pcap FILE` reads captures anywhere")


def _agent(settings: config.Settings, without: tuple[str, ...], clock: Any) -> "Agent":
    from pulka.edge.agent import Agent

    return Agent(_edge_settings(settings, without), clock)


def _edge_settings(settings: config.Settings, without: tuple[str, ...]) -> "EdgeSettings":
    from pulka.edge.agent import EdgeSettings

    off = tuple(name for name in str(settings["edge_without"]).replace(",", " ").split() if name)
    return EdgeSettings(
        burst_bytes=settings["edge_burst_bytes"],
        head_bytes=settings["edge_head_bytes"],
        ring_bytes=settings["edge_ring_bytes"],
        connections_max=settings["edge_connections_max"],
        keys_max=settings["edge_keys_max"],
        held_bytes_max=settings["edge_memory_bytes"],
        idle_s=settings["edge_idle_s"],
        poll_ms=settings["edge_poll_ms"],
        cpu_share=settings["edge_cpu_share"],
        without=off + without,
    )


def _shipper(settings: config.Settings, clock: Any) -> "Shipper":
    from pulka.edge.shipping import Receiver, Shipper
    from pulka.edge.spool import Spool

    headers = dict(_header(item) for item in str(settings["edge_otlp_headers"]).split(",") if item.strip())
    receiver = Receiver(settings["edge_otlp_url"], headers, settings["edge_otlp_timeout_s"])
    receiver.check()
    directory = Path(settings.state_dir) / "edge" / "spool"
    return Shipper(Spool(directory, settings["edge_spool_bytes_max"]), receiver, clock)


def _header(item: str) -> tuple[str, str]:
    name, separator, value = item.partition("=")
    if not separator:
        raise Misconfigured("`edge_otlp_headers` needs the form NAME=VALUE,NAME=VALUE", hint="as OTEL_EXPORTER_OTLP_HEADERS has it")
    return name.strip(), value.strip()


def _say_features(agent: "Agent") -> None:
    for feature in agent.status().features:
        if feature.works is not True:
            click.secho(f"note: {feature.name} is off: {feature.reason}. It is for {feature.purpose}", fg="yellow", err=True)
        elif feature.way:
            click.echo(f"  {feature.name}: {feature.way}", err=True)
    for path, functions, trouble in agent.libraries():
        click.echo(f"  TLS: {path}: {', '.join(functions) or trouble}", err=True)
