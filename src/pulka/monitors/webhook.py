"""Notifications by HTTP, signed as Standard Webhooks says (https://www.standardwebhooks.com).

A message is taken when the receiver answers 2xx. Redirects are not followed: the receiver that was named is the one that is
told. Answers are not read.
"""

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Mapping
from functools import cached_property

import httpx

from pulka.errors import BadInput, Temporary
from pulka.monitors.telling import Entry
from pulka.seams import Clock

__all__ = ["Webhooks", "signature"]

_LATER = (408, 425, 429)


class Webhooks:
    """Sends over one pool of connections."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock, self._timeout_s = clock, timeout_s
        for name in ("httpx", "httpcore"):  # they log URLs, whose paths are secrets of the tenants
            logging.getLogger(name).setLevel(logging.WARNING)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made when the first webhook goes out: it reads all trusted certificates."""
        return httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False, trust_env=False, headers={"User-Agent": "pulka"})

    async def send(self, tenant: str, entry: Entry) -> None:
        """BadInput when the receiver refuses for good, Temporary or a transport error when it may take it later."""
        body = entry.body.encode()
        stamp = str(self._clock.now_ns() // 1_000_000_000)
        headers = {"Content-Type": "application/json", **_signed(entry, stamp, body)}
        async with self._client.stream("POST", entry.address, content=body, headers=headers) as answer:
            status = answer.status_code
        if answer.is_success:
            return
        if answer.is_redirect or (answer.is_client_error and status not in _LATER):
            raise BadInput(f"the receiver answered {status}{'; redirects are not followed' if answer.is_redirect else ''}")
        raise Temporary(f"the receiver answered {status}")

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.aclose()


def _signed(entry: Entry, stamp: str, body: bytes) -> Mapping[str, str]:
    headers = {"webhook-id": entry.id, "webhook-timestamp": stamp}
    return {**headers, "webhook-signature": signature(entry.secret, entry.id, stamp, body)} if entry.secret else headers


def signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    """HMAC-SHA256 of `ID.STAMP.BODY`; a secret that begins with `whsec_` is base64 after that."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = secret.encode()
    signed = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
