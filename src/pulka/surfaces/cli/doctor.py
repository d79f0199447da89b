"""`pulka doctor`: what stands in the way, and the fix."""

import asyncio
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
import httpx

from pulka import config
from pulka.errors import Misconfigured, PulkaError
from pulka.surfaces.cli.client import base_url, url_option
from pulka.surfaces.cli.output import format_option, print_rows
from pulka.surfaces.client.problems import is_tls

__all__ = ["doctor"]

_FREE_BYTES_WANTED = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `ok`, `warn` or `fail`, and the fix for the latter two."""

    check: str
    state: str
    detail: str
    fix: str = ""


@click.command()
@click.option("--state-dir", metavar="DIR", help="Where everything is kept.")
@format_option
@url_option
def doctor(state_dir: str | None, format_: str | None, url: str | None) -> None:
    """Check this machine and a running Pulka; exit code 1 when something fails."""
    settings = config.load({"state_dir": state_dir})
    findings = [*_native(), *_state(settings), *_objects(settings), *_disk(settings), *_server(settings, url)]
    print_rows(
        [{"check": f.check, "state": f.state, "detail": f.detail, "fix": f.fix} for f in findings],
        format_,
        ["check", "state", "detail", "fix"],
    )
    if any(finding.state == "fail" for finding in findings):
        sys.exit(1)


def _native() -> Iterator[Finding]:
    try:
        from pulka import _native

        yield Finding("rust core", "ok", _native.__version__)
    except ImportError as error:
        yield Finding("rust core", "fail", str(error), "build it with `make setup`, or install the wheel of this platform")


def _state(settings: config.Settings) -> Iterator[Finding]:
    directory = settings.state_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        yield Finding("state directory", "ok", str(directory))
    except OSError as error:
        yield Finding("state directory", "fail", str(error), "make it writable, or name another with --state-dir")


def _objects(settings: config.Settings) -> Iterator[Finding]:
    """Reads, writes and deletes where fragments go; a local directory is checked with the state directory."""
    if not settings["objects_url"]:
        return
    from pulka.app.offline import probe_objects

    try:
        asyncio.run(probe_objects(settings))
        yield Finding("object store", "ok", str(settings["objects_url"]))
    except PulkaError as error:
        yield Finding("object store", "fail", error.message, error.hint)


def _disk(settings: config.Settings) -> Iterator[Finding]:
    existing = next(path for path in (settings.state_dir, *settings.state_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    need = max(_FREE_BYTES_WANTED, int(settings["journal_bytes_max"]) // 4) + _cache_growth_bytes(settings)
    state = "ok" if free >= need else "warn"
    fix = f"free {need >> 20:,} MiB, or lower journal_bytes_max or cache_bytes_max"
    yield Finding("disk space", state, f"{free >> 20:,} MiB free", "" if state == "ok" else fix)


def _cache_growth_bytes(settings: config.Settings) -> int:
    """What the fragment cache may still take; only a remote store has one."""
    if urlsplit(str(settings["objects_url"])).scheme in ("", "file"):
        return 0
    copies = (settings.state_dir / "cache").glob("*.parquet")
    return max(0, int(settings["cache_bytes_max"]) - sum(path.stat().st_size for path in copies))


def _server(settings: config.Settings, url: str | None) -> Iterator[Finding]:
    base = base_url(url)
    try:
        answer = httpx.get(f"{base}/readyz", timeout=5, trust_env=False, verify=is_tls(base))
        ready = answer.is_success
        yield Finding("server", "ok" if ready else "warn", f"{base} answers {answer.status_code}", "" if ready else "see the log of `pulka up`")
        if "json" in answer.headers.get("content-type", ""):
            yield _edge(answer.json().get("edge", {}))
    except httpx.TransportError:
        yield from _ports(settings)
        yield _edge_here(settings)


def _edge(told: dict[str, object]) -> Finding:
    """What the running server says of its agent."""
    state, reason = str(told.get("state", "off")), str(told.get("reason", ""))
    if state == "watching":
        return Finding("edge", "ok", f"watches this host, process {told.get('pid')}")
    return Finding("edge", "warn", f"{state}: {reason}" if reason else state, "see `pulka edge doctor` and the setting edge_enabled")


def _edge_here(settings: config.Settings) -> Finding:
    """Whether an agent would run on this machine."""
    from pulka.app.edge import why_no_edge

    try:
        why = why_no_edge(settings)
    except Misconfigured as error:
        return Finding("edge", "fail", error.message, error.hint)
    return Finding("edge", "warn" if why else "ok", why or "`pulka up` will start it", "see `pulka edge doctor`" if why else "")


def _ports(settings: config.Settings) -> Iterator[Finding]:
    yield Finding("server", "warn", "no Pulka is running", "start it with `pulka up`")
    for name in ("http_listen", "otlp_http_listen", "otlp_grpc_listen"):
        if settings[name] != "off":
            yield _port(name, str(settings[name]))


def _port(name: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise Misconfigured(f"`{name}` is `{address}`", hint="it needs the form HOST:PORT")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
            return Finding(name, "ok", f"{address} is free")
        except OSError as error:
            return Finding(name, "fail", f"{address}: {error.strerror}", f"stop what listens there, or set {name} to another address")
