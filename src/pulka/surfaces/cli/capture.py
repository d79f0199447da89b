"""`pulka edge pcap`: what the services in a capture say to each other."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pulka.model.moments import rfc3339
from pulka.surfaces.cli.output import chosen_format, format_option, print_rows

if TYPE_CHECKING:
    from pulka.edge.capture import Counts

__all__ = ["pcap"]

_RED = ["protocol", "server", "operation", "target", "status", "error", "count", "p50_ms", "p95_ms", "p99_ms", "max_ms", "request_bytes", "response_bytes"]
_TRANSACTIONS = [
    "timestamp", "connection", "protocol", "client", "server", "initiator", "operation", "target", "status", "error", "duration_ms", "first_byte_ms",
    "request_bytes", "response_bytes", "attributes",
]  # fmt: skip
_NARROW = {"p95_ms", "max_ms", "request_bytes", "response_bytes", "connection", "client", "initiator", "first_byte_ms", "attributes"}
_CONNECTIONS = ["connection", "transport", "client", "server", "protocol", "transactions", "bytes", "opaque"]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--transactions", is_flag=True, help="Every request with its answer, instead of rates, errors and durations.")
@click.option("--connections", is_flag=True, help="Every connection with its protocol, or why nothing of it was read.")
@click.option("--memory-bytes", default=64 << 20, show_default=True, type=click.IntRange(1 << 20), help="What connections may hold together.")
@click.option("--connections-max", default=65_536, show_default=True, type=click.IntRange(1), help="Connections followed at once.")
@click.option("--keys-max", default=10_000, show_default=True, type=click.IntRange(1), help="Operations told apart; the rest is summed up.")
@format_option
def pcap(file: Path, transactions: bool, connections: bool, memory_bytes: int, connections_max: int, keys_max: int, format_: str | None) -> None:
    """Decode a capture file (pcap or pcapng) as the agent would decode the same bytes.

    \b
    pulka edge pcap trace.pcap                                       rate, errors, duration per operation
    pulka edge pcap trace.pcapng --transactions --format ndjson      every request
    """
    if transactions and connections:
        raise click.UsageError("give either --transactions or --connections, not both")
    from pulka.edge.capture import CaptureReader  # Arrow, which the agent does without

    reader = CaptureReader(connections_max=connections_max, memory_bytes_max=memory_bytes, keys_max=keys_max)
    batches = reader.batches(file)
    if transactions:
        print_rows(chain.from_iterable(_transactions(found) for found, _ in batches), format_, _columns(_TRANSACTIONS, format_))
    elif connections:
        print_rows(chain.from_iterable(ended.to_pylist() for _, ended in batches), format_, _CONNECTIONS)
    else:
        for _ in batches:
            pass
        print_rows(map(_in_ms, reader.red().to_pylist()), format_, _columns(_RED, format_))
    for sentence in _remarks(reader.counts()):
        click.echo(sentence, err=True)


def _columns(all_of_them: list[str], format_: str | None) -> list[str]:
    """A table on a terminal has room for the most important ones."""
    return [column for column in all_of_them if column not in _NARROW] if chosen_format(format_) == "table" else all_of_them


def _transactions(batch: Any) -> Iterator[dict[str, Any]]:
    from pulka.edge.capture import transaction_rows

    for row in transaction_rows(batch):
        yield {"timestamp": rfc3339(row.pop("timestamp_ns")), **_in_ms(row)}


def _in_ms(row: dict[str, Any]) -> dict[str, Any]:
    """Durations in milliseconds, for people."""
    return {
        name.removesuffix("_s") + "_ms" if name.endswith("_s") else name: round(value * 1e3, 3) if name.endswith("_s") and value is not None else value
        for name, value in row.items()
    }


def _remarks(counts: "Counts") -> Iterable[str]:
    if counts.packets_passed_over:
        yield f"{counts.packets_passed_over} of {counts.packets} packets are neither TCP nor UDP"
    if counts.bytes_missing:
        yield f"{counts.bytes_missing} bytes of TCP streams are not in the capture"
    if counts.connections_evicted:
        yield f"{counts.connections_evicted} connections were given up to stay within --memory-bytes and --connections-max"
    if counts.ends_within_a_packet:
        yield "the file ends within a packet"
