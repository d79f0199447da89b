"""What a connection is to: a URL, or a state directory that is opened in this process."""

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pulka.errors import Misconfigured, Temporary
from pulka.surfaces.client.problems import is_tls

__all__ = ["Target", "open_target"]

_TIMEOUT = httpx.Timeout(120, connect=5)


@dataclass(slots=True)
class Target:
    """Where the API listens: at a URL, or at a socket within this process; `close` ends what was opened."""

    name: str
    url: str
    socket: str | None = None
    close: Callable[[], None] = lambda: None

    def options(self) -> dict[str, Any]:
        """Of an httpx client, beside its transport. Proxies of the environment are for others."""
        return {"base_url": self.url, "timeout": _TIMEOUT, "trust_env": False, "verify": is_tls(self.url)}

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What breaks on the way is Temporary."""
        try:
            yield
        except httpx.ConnectError as error:
            raise Temporary(f"nothing listens at {self.name}", hint="start Pulka with `pulka up`, or connect to its address") from error
        except httpx.TransportError as error:
            raise Temporary(f"the connection to {self.name} broke ({type(error).__name__})", hint="try again") from error


def open_target(target: str | os.PathLike[str], *, create: bool) -> Target:
    """Misconfigured when a server holds the directory, or there is none and `create` is not set."""
    if isinstance(target, str) and "://" in target:
        return Target(target.rstrip("/"), target.rstrip("/"))
    directory = Path(target).expanduser()
    if not directory.is_dir() and not create:
        raise Misconfigured(f"there is no state directory {directory}", hint="name one, or make one with create=True")
    from pulka.surfaces.client.embedded import Embedded

    lake = Embedded(directory)
    atexit.register(lake.close)
    return Target(str(directory), "http://pulka", lake.socket, lake.close)
