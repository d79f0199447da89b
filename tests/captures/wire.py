"""What tshark says of protocols that it knows by port only: it is told the ports on which we found them."""

from collections.abc import Iterable

from tests.captures.harness import Capture, reading, tshark

SEPARATOR = "\t"


def server_ports(capture: Capture, protocol: str) -> set[str]:
    """Where we found servers of `protocol`."""
    return {row["server"].rsplit(":", 1)[1] for row in reading(capture).connections.to_pylist() if row["protocol"] == protocol}


def decoded_as(capture: Capture, protocol: str, name: str, display_filter: str, *fields: str) -> list[dict[str, list[str]]]:
    """Rows with all values of each field; `name` is what tshark calls the protocol. `tcp.dstport` comes along."""
    options = tuple(word for port in sorted(server_ports(capture, protocol)) for word in ("-d", f"tcp.port=={port},{name}"))
    rows = tshark(capture, display_filter, (*fields, "tcp.dstport"), options)
    return [{key: value.split(SEPARATOR) if value else [] for key, value in row.items()} for row in rows]


def from_clients(rows: Iterable[dict[str, list[str]]], ports: set[str]) -> list[dict[str, list[str]]]:
    """Rows that go to a server."""
    return [row for row in rows if ports & set(row["tcp.dstport"])]
