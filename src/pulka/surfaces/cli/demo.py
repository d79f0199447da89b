"""`pulka demo`: the lake, and a small shop that feeds it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click

from pulka import config
from pulka.errors import Misconfigured
from pulka.surfaces.cli.up import announce, program

__all__ = ["demo"]

_QUERIES = (
    "SELECT service, count(*) AS requests, count(*) FILTER (WHERE status = 'error') AS errors FROM spans WHERE kind = 'server' GROUP BY service ORDER BY errors DESC",
    "SELECT version, host, count(*) AS failed FROM logs WHERE severity = 'ERROR' AND service = 'payments' GROUP BY version, host",
    "SELECT date_trunc('minute', timestamp) AS minute, approx_percentile_cont(duration_ns, 0.99) / 1e6 AS p99_ms FROM spans WHERE service = 'frontend' GROUP BY 1 ORDER BY 1",
)


@click.command()
@click.option("--listen", "http_listen", metavar="HOST:PORT", help="Address of the HTTP API.")
@click.option("--shop-port", default=7720, show_default=True, type=click.IntRange(1024, 65000), help="First of the shop's six ports; the market has those from ten further on.")
@click.option("--keep", metavar="DIR", help="Keep the events here; without it they go when the demo ends.")
def demo(http_listen: str | None, shop_port: int, keep: str | None) -> None:
    """Start a lake and a shop of five services whose payments fail now and then. Ctrl-C stops all of it.

    Where the agent may run (as root, on Linux), also a market of services in several languages that nobody has instrumented: as many as there is a
    compiler, interpreter or server for on PATH.
    """
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise Misconfigured("the demo's services need the OpenTelemetry SDK", hint="pip install 'pulka[demo]'")
    with tempfile.TemporaryDirectory(prefix="pulka-demo-") as scratch:
        settings = config.load({"state_dir": keep or scratch, "http_listen": http_listen, "flush_age_s": 10})
        from pulka.app.edge import why_no_edge
        from pulka.app.serving import run

        sees = not why_no_edge(settings)
        with _shop(shop_port, f"http://{settings['http_listen']}"), _market(shop_port + 10) if sees else nullcontext():
            run(settings, lambda addresses, notes: _announce(addresses, notes, sees))


@contextmanager
def _shop(base_port: int, endpoint: str) -> Iterator[None]:
    names = ("catalog", "stock", "payments", "payments-canary", "checkout", "frontend", "customers")
    command = [sys.executable, "-m", "pulka.demo.shop"]
    # The agent takes the name from here, and then means the same service as the spans do.
    processes = [subprocess.Popen([*command, name, str(base_port), endpoint], env={**os.environ, "OTEL_SERVICE_NAME": name.removesuffix("-canary")}) for name in names]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=10)


@contextmanager
def _market(first_port: int) -> Iterator[None]:
    """It ends when its input does, so also when this process is killed."""
    command = [sys.executable, "-m", "pulka.demo.market", str(first_port)]
    market = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        assert market.stdin is not None, "a pipe"
        market.stdin.close()
        market.wait(timeout=60)


def _announce(addresses: dict[str, str], notes: list[str], sees: bool) -> None:
    announce(addresses, notes)
    click.echo("\nThe shop is open; every minute its newest payments version fails for 20 seconds. Try:\n", err=True)
    for sql in _QUERIES:
        click.echo(f'  {program()} query "{sql}"\n', err=True)
    if sees:
        click.echo("The market beside it is not instrumented; in a minute the agent tells who calls whom in it:\n", err=True)
        click.echo(f"  {program()} map --since 5m        or {addresses['http']}/api/v1/map?start=5m\n", err=True)
