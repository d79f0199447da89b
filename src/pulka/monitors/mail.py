"""Notifications by e-mail over SMTP."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from pulka.errors import BadInput, Misconfigured
from pulka.monitors.telling import Entry

__all__ = ["Mail"]

_SCHEMES = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_REFUSED = 500


class Mail:
    """Sends by the server that `smtp_url` names: `smtp://`, `smtps://` or `smtp+starttls://`, with user and password if need be."""

    def __init__(self, url: str, sender: str, timeout_s: float) -> None:
        try:
            parts = urlsplit(url)
            self._scheme, self._host, self._port = parts.scheme, parts.hostname or "", parts.port or _SCHEMES[parts.scheme]
        except (ValueError, KeyError):
            raise _unusable() from None
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender, self._timeout_s = sender, timeout_s
        if not self._host or "@" not in sender:
            raise _unusable()
        if self._user and self._scheme == "smtp" and self._host not in _LOOPBACK:
            raise Misconfigured("smtp_url would send a password unencrypted", hint="use smtps:// or smtp+starttls://")

    async def send(self, tenant: str, entry: Entry) -> None:
        """BadInput when the server refuses the message for good; errors of smtplib or the network when it may take it later."""
        await asyncio.to_thread(self._send, self._message(entry))

    def _message(self, entry: Entry) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, entry.address
        message["Subject"] = " ".join(entry.subject.split())[:200]
        message["Message-ID"] = f"<{entry.id}.{entry.attempts}@pulka>"
        message["X-Pulka-Notification"] = entry.id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(entry.body)
        return message

    def _send(self, message: EmailMessage) -> None:
        kind = smtplib.SMTP_SSL if self._scheme == "smtps" else smtplib.SMTP
        with kind(self._host, self._port, timeout=self._timeout_s) as server:
            if self._scheme == "smtp+starttls":
                server.starttls(context=ssl.create_default_context())
            if self._user:
                server.login(self._user, self._password)
            try:
                server.send_message(message)
            except smtplib.SMTPRecipientsRefused as refused:
                code, _ = next(iter(refused.recipients.values()))
                if code >= _REFUSED:
                    raise BadInput(f"the mail server refused the address with {code}") from None
                raise


def _unusable() -> Misconfigured:
    return Misconfigured("smtp_url or smtp_from cannot be used", hint="as in smtps://user:password@mail.example.com and pulka@example.com")
