"""The command line's side of the public HTTP API."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import httpx

from pulka import config, errors
from pulka.surfaces.client.problems import is_tls, raise_problem

__all__ = ["asker", "base_url", "connect", "raise_problem", "url_option"]

url_option = click.option("--url", envvar="PULKA_URL", help="Where Pulka listens; default: the configured address.")


def base_url(url: str | None) -> str:
    """The server's URL: the one given, or that of the configured address."""
    return (url or f"http://{config.load()['http_listen']}").rstrip("/")


def asker() -> str:
    """Who asks, for the record: the name of this account."""
    with suppress(KeyError, OSError):  # an account without a name
        return getpass.getuser()[:200]
    return ""


@contextmanager
def connect(url: str | None) -> Iterator[httpx.Client]:
    """An HTTP client; a server that cannot be reached is Temporary, with the command that starts it."""
    base = base_url(url)
    try:
        with httpx.Client(base_url=base, timeout=httpx.Timeout(120, connect=5), trust_env=False, verify=is_tls(base)) as client:
            yield client
    except httpx.ConnectError as error:
        raise errors.Temporary(f"nothing listens at {base}", hint="start Pulka with `pulka up`, or name it with --url") from error
    except httpx.TransportError as error:
        raise errors.Temporary(f"the connection to {base} broke ({type(error).__name__})", hint="try again") from error
