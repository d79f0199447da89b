"""A query that is watched while it runs, and stopped on the server when its user stops waiting."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import httpx

from pulka.clock import SystemClock
from pulka.model.ids import new_id
from pulka.surfaces.client.problems import is_tls

__all__ = ["new_query_id", "watched"]

_FIRST_S = 1.0
_EVERY_S = 0.5
_PATIENCE = httpx.Timeout(5)


def new_query_id() -> str:
    """An id for a query, made here, so that the query can be stopped before it answers."""
    clock = SystemClock()
    return new_id(clock.now_ns(), clock.random)


@contextmanager
def watched(base_url: str, query_id: str, tenant: str, show: bool | None) -> Iterator[None]:
    """While this is open, how far the query is stands on stderr (None: on a terminal only). Ctrl-C cancels it."""
    done = threading.Event()
    headers = {"X-Pulka-Tenant": tenant}
    with httpx.Client(base_url=base_url, timeout=_PATIENCE, headers=headers, trust_env=False, verify=is_tls(base_url)) as client:
        watcher = threading.Thread(target=_watch, args=(client, f"/api/v1/queries/{query_id}", done), daemon=True)
        if sys.stderr.isatty() if show is None else show:
            watcher.start()
        try:
            yield
        except KeyboardInterrupt:
            with suppress(httpx.HTTPError):
                client.delete(f"/api/v1/queries/{query_id}")
            raise
        finally:
            done.set()
            if watcher.is_alive():
                watcher.join()


def _watch(client: httpx.Client, path: str, done: threading.Event) -> None:
    """Over one line on a terminal, else line by line. A query that ended is no longer found."""
    wait_s, shown = _FIRST_S, False
    while not done.wait(wait_s):
        wait_s = _EVERY_S
        with suppress(httpx.HTTPError, ValueError):
            answer = client.get(path)
            if answer.is_success:
                shown = True
                _show(f"{_sentence(answer.json())}")
    if shown and sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)


def _show(line: str) -> None:
    click.echo(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, nl=not sys.stderr.isatty(), err=True)


def _sentence(told: dict[str, float]) -> str:
    read = f"{told['bytes_read'] / 1e6:,.1f} of at most {told['bytes_total'] / 1e6:,.1f} MB"
    return f"{told['stage']}: {told['fragments_done']:,} of {told['fragments_total']:,} fragments, {read}, {told['running_s']:.1f} s"
