"""Network namespaces, as containers have them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.live.servers import program


@contextmanager
def namespace(name: str) -> Iterator[list[str]]:
    """A network namespace with nothing but loopback: the prefix to run within it."""
    ip = program("ip", "iproute2")
    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        inside = [ip, "netns", "exec", name]
        subprocess.run([*inside, ip, "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run([ip, "netns", "delete", name], check=True)
