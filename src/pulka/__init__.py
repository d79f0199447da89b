"""Pulka, an open observability lake.

In: telemetry from shippers, agents and files. Out: answers in SQL, and Parquet files any tool can read.
Guarantees: what was acknowledged is durable, visible within a second, exactly once, to its own tenant only.
Never: keeps data in a format only Pulka can read.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulka.surfaces.client.async_connection import Opening
    from pulka.surfaces.client.connection import Connection

__all__ = ["__version__", "connect", "connect_async"]

__version__ = "0.1.0"


def connect(target: str | os.PathLike[str] = "http://127.0.0.1:7710", *, tenant: str = "default", create: bool = False) -> "Connection":
    """A connection to the lake at a URL; or to the one in a state directory, opened in this process. See docs/python.md.

    Misconfigured when a server holds the directory, or when it does not exist and `create` is not set.
    """
    from pulka.surfaces.client.connection import open_connection  # only now: `import pulka` stays light

    return open_connection(target, tenant=tenant, create=create)


def connect_async(target: str | os.PathLike[str] = "http://127.0.0.1:7710", *, tenant: str = "default", create: bool = False) -> "Opening":
    """The same for asyncio: `async with pulka.connect_async(url) as lake:`, or `lake = await pulka.connect_async(url)`."""
    from pulka.surfaces.client.async_connection import Opening

    return Opening(target, tenant=tenant, create=create)
