"""`pulka demo`: the lake, and a small shop that feeds it."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

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
@click.option("--shop-port", default=7720, show_default=True, type=click.IntRange(1024, 65000), help="First of the shop's six ports.")
@click.option("--keep", metavar="DIR", help="Keep the events here; without it they go when the demo ends.")
def demo(http_listen: str | None, shop_port: int, keep: str | None) -> None:
    """Start a lake and a shop of five services whose payments fail now and then. Ctrl-C stops all of it."""
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise Misconfigured("the demo's services need the OpenTelemetry SDK", hint="pip install 'pulka[demo]'")
    with tempfile.TemporaryDirectory(prefix="pulka-demo-") as scratch:
        settings = config.load({"state_dir": keep or scratch, "http_listen": http_listen, "flush_age_s": 10})
        with _shop(shop_port, f"http://{settings['http_listen']}"):
            from pulka.app import run

            run(settings, _announce)


@contextmanager
def _shop(base_port: int, endpoint: str) -> Iterator[None]:
    names = ("catalog", "stock", "payments", "payments-canary", "checkout", "frontend", "customers")
    command = [sys.executable, "-m", "pulka.demo.shop"]
    processes = [subprocess.Popen([*command, name, str(base_port), endpoint]) for name in names]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=10)


def _announce(addresses: dict[str, str], notes: list[str]) -> None:
    announce(addresses, notes)
    click.echo("\nThe shop is open; every minute its newest payments version fails for 20 seconds. Try:\n", err=True)
    for sql in _QUERIES:
        click.echo(f'  {program()} query "{sql}"\n', err=True)
