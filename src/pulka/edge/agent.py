"""The agent: names what the probes see, and turns it into exports every interval."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from pulka.edge.naming import Name, name_service
from pulka.edge.otlp import Count, Service, encode
from pulka.edge.shipping import Shipper
from pulka.errors import Misconfigured

if TYPE_CHECKING:
    from pulka._native import EdgeAgent, EdgeProcess, EdgeRow, EdgeStatus
    from pulka.seams import Clock

__all__ = ["Agent", "EdgeSettings", "attach", "programs"]

_log = logging.getLogger(__name__)
UNKNOWN = "unknown"
_SELF = "pulka-edge"
_LEFT_OUT = ("connections_refused", "connections_evicted", "connections_failed", "plaintext_unbound", "gaps", "requests_in_flight")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The settings `edge_*`, by the names that the probes have for them."""

    burst_bytes: int
    head_bytes: int
    ring_bytes: int
    connections_max: int
    keys_max: int
    held_bytes_max: int
    idle_s: float
    poll_ms: int
    cpu_share: float
    without: tuple[str, ...] = ()


def programs() -> bytes:
    """The BPF object, as it was built with the package."""
    return (resources.files("pulka.edge") / "bpf" / "edge.bpf.o").read_bytes()


def attach(settings: EdgeSettings) -> "EdgeAgent":
    """Attach the probes. Misconfigured when this machine lacks something that they cannot do without."""
    try:
        from pulka._native import EdgeAgent
    except ImportError as error:
        raise Misconfigured("the agent runs on Linux only", hint="`pulka edge pcap FILE` reads captures anywhere") from error
    s = settings
    try:
        return EdgeAgent(
            programs(),
            burst_bytes=s.burst_bytes,
            head_bytes=s.head_bytes,
            ring_bytes=s.ring_bytes,
            connections_max=s.connections_max,
            keys_max=s.keys_max,
            held_bytes_max=s.held_bytes_max,
            idle_s=s.idle_s,
            poll_ms=s.poll_ms,
            cpu_share=s.cpu_share,
            without=s.without,
        )
    except (OSError, RuntimeError) as error:
        raise Misconfigured(str(error), hint="run it as root; `pulka edge doctor` says what works here") from error


class Agent:
    """Attached while it lives. `rows()` gives what was seen since the last time, by service."""

    def __init__(self, settings: EdgeSettings, clock: "Clock", host: str | None = None) -> None:
        self._native = attach(settings)
        self._clock = clock
        self._host = host or socket.gethostname()
        self._names: dict[int, Name] = {}
        self._gone: set[int] = set()
        self._began_ns = clock.now_ns()
        self._told: dict[str, int] = {}

    def meet(self) -> None:
        """Name processes that are new; called often, because their files may be gone soon."""
        for process in self._native.processes():
            self._names[process.pid] = _named(process)
            self._gone.discard(process.pid)  # the number is another process's now

    def rows(self) -> "list[EdgeRow]":
        """What was counted since the last call."""
        rows = self._native.report(self._services)
        for pid in self._gone:
            self._names.pop(pid, None)
        self._gone = set(self._native.reap())
        return rows

    def _services(self) -> dict[int, str]:
        self.meet()
        return {0: UNKNOWN, **{pid: name.service for pid, name in self._names.items()}}

    def services(self) -> dict[str, Service]:
        """The services known now, by name."""
        return {name.service: Service(name.service, name.source, name.runtime) for name in self._names.values()}

    def status(self) -> "EdgeStatus":
        """Features, costs, drops."""
        return self._native.status()

    def libraries(self) -> list[tuple[str, list[str], str]]:
        """Files that were looked at for TLS: path, functions that are probed, why not."""
        return self._native.libraries()

    def counts(self) -> list[Count]:
        """Since the last call: connections that show nothing, by service and reason; what was left out, by reason."""
        found, opaque = [], self._native.opaque()
        self.meet()
        for pid, reason, value in opaque:
            service = self._names[pid].service if pid in self._names else UNKNOWN
            found.append(Count(service, "pulka.connections.unreadable", "{connection}", {"pulka.reason": reason}, value))
        status = self._native.status()
        left_out = {**status.drops, **{name: status.counters[name] for name in _LEFT_OUT}}
        for reason, total in left_out.items():
            if total > self._told.get(reason, 0):
                found.append(Count(_SELF, "pulka.edge.left_out", "{item}", {"pulka.reason": reason}, total - self._told.get(reason, 0)))
        self._told = left_out
        return found

    def export(self, shipper: Shipper) -> int:
        """Hand what was counted to the shipper. Returns the number of rows."""
        rows, counts = self.rows(), self.counts()
        now_ns = self._clock.now_ns()
        for request in encode(rows, counts, self.services(), self._host, self._began_ns, now_ns, self._clock.random):
            shipper.add(request.signal, msgspec.json.encode(request.body))
        self._began_ns = now_ns
        return len(rows)

    async def run(self, shipper: Shipper, every_s: float, until: asyncio.Event, seen: Callable[[int], None] = lambda rows: None) -> None:
        """Export every interval until `until` is set, and once more at the end."""
        shipping = asyncio.ensure_future(shipper.run())
        due_s = self._clock.monotonic_s() + every_s
        try:
            while not until.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), min(1.0, every_s))
                self.meet()
                if self._clock.monotonic_s() >= due_s:
                    due_s += every_s
                    self._export_or_say(shipper, seen)
            self._native.pause(True)
            self._export_or_say(shipper, seen)
        finally:
            shipping.cancel()
            self.stop()
        await shipper.drain()

    def _export_or_say(self, shipper: Shipper, seen: Callable[[int], None]) -> None:
        try:
            seen(self.export(shipper))
        except OSError as error:
            _log.error("an interval is lost: the spool cannot be written (%s)", error)

    def stop(self) -> None:
        """Detach everything."""
        self._native.stop()


def _named(process: "EdgeProcess") -> Name:
    if process.pid == os.getpid():
        return Name(_SELF, "agent")
    try:
        return name_service(process)
    except (OSError, ValueError, RecursionError) as error:  # somebody else's files
        _log.info("process %d is named by its executable: %s", process.pid, type(error).__name__)
        return Name(process.exe.rpartition("/")[2] or UNKNOWN, "executable")

