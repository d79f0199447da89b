"""Sends what the spool holds to an OTLP receiver: in order, one at a time, with growing pauses while it is away."""

import asyncio
import gzip
import http.client
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pulka.edge.spool import Spool
from pulka.errors import Misconfigured

if TYPE_CHECKING:
    from pulka.seams import Clock

__all__ = ["Receiver", "Shipper"]

_log = logging.getLogger(__name__)
_PAUSE_S, _PAUSE_MAX_S = 0.5, 30.0
# What another attempt may change (OTLP specification, "Retryable response codes", and a proxy's).
_RETRYABLE = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where OTLP over HTTP is spoken: the base URL, and headers as `Authorization`."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float

    def check(self) -> None:
        """Misconfigured when the URL is none."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"`{self.url}` is no URL of an OTLP receiver", hint="set edge_otlp_url, as http://127.0.0.1:4318")

    def post(self, signal: str, body: bytes) -> int:
        """The status of one export. OSError when it cannot be reached."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None, "checked before"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=self.timeout_s)
        try:
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **self.headers}
            connection.request("POST", f"{parts.path.rstrip('/')}/v1/{signal}", body, headers)
            response = connection.getresponse()
            response.read()
            return response.status
        except http.client.HTTPException as error:
            raise ConnectionError(type(error).__name__) from error
        finally:
            connection.close()


class Shipper:
    """Moves requests from the spool to the receiver."""

    def __init__(self, spool: Spool, receiver: Receiver, clock: "Clock") -> None:
        self._spool, self._receiver, self._clock = spool, receiver, clock
        self._pause_s = _PAUSE_S
        self.sent = 0
        self.refused = 0
        self.trouble = ""

    def add(self, signal: str, body: bytes) -> None:
        """Take over a request, compressed here."""
        self._spool.put(signal, gzip.compress(body, 1, mtime=0))

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            self._pause_s = _PAUSE_S if await self.drain() else min(self._pause_s * 2, _PAUSE_MAX_S)
            await self._clock.sleep(self._pause_s)

    async def drain(self) -> bool:
        """Send all that waits. False when the receiver is away."""
        while spooled := self._spool.oldest():
            try:
                status = await asyncio.to_thread(self._receiver.post, spooled.signal, spooled.body())
            except OSError as error:
                return self._away(str(error))
            if status in _RETRYABLE:
                return self._away(f"HTTP {status}")
            if status >= 300:
                _log.warning("the receiver refused %s: HTTP %d", spooled.signal, status)
                self.refused += 1
            else:
                self.sent += 1
            self.trouble = ""
            self._spool.done(spooled)
        return True

    def _away(self, why: str) -> bool:
        if not self.trouble:
            _log.warning("the receiver %s is away (%s); what is seen waits on disk", self._receiver.url, why)
        self.trouble = why
        return False
