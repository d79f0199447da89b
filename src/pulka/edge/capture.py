"""Capture files (pcap, pcapng) as a source: what the services in them said to each other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pulka import _native
from pulka.errors import BadInput

__all__ = ["CaptureReader", "Counts", "Reading", "read"]

_PIECE_BYTES = 1 << 20
_HEADER_BYTES = 24  # of a file; that of pcapng is longer


@dataclass(frozen=True, slots=True)
class Counts:
    """What a capture held besides transactions."""

    packets: int
    packets_passed_over: int
    """Neither TCP nor UDP, fragments, or of a link that is not read."""
    connections_evicted: int
    """Given up to stay within the limits."""
    bytes_missing: int
    """Of streams: cut off by the capture, or never captured."""
    ends_within_a_packet: bool


class CaptureReader:
    """Reads capture files piece by piece; at most `memory_bytes_max` are held."""

    def __init__(self, *, connections_max: int = 65_536, memory_bytes_max: int = 64 << 20, keys_max: int = 10_000) -> None:
        self._native = _native.Capture(connections_max=connections_max, memory_bytes_max=memory_bytes_max, keys_max=keys_max)
        self._cut = False

    def batches(self, path: Path) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Transactions and ended connections as they are found. Layouts: `_native.Capture`. BadInput when the file is no capture."""
        try:
            with path.open("rb") as file:
                if len(file.peek(_HEADER_BYTES)) < _HEADER_BYTES:
                    raise ValueError("the file is too short to be a capture")
                while piece := file.read(_PIECE_BYTES):
                    yield self._native.push(piece)
        except ValueError as error:
            raise BadInput(f"{path}: {error}", hint="give a file that tcpdump -w or Wireshark wrote, not compressed") from error
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from error
        transactions, connections, self._cut = self._native.finish()
        yield transactions, connections

    def red(self) -> pa.RecordBatch:
        """Rate, errors and duration per operation so far."""
        return self._native.red()

    def counts(self) -> Counts:
        """What was passed over so far."""
        return Counts(*self._native.counts(), self._cut)


@dataclass(frozen=True)
class Reading:
    """A whole capture in memory, for small ones."""

    transactions: pa.Table
    connections: pa.Table
    red: pa.RecordBatch
    counts: Counts
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def transaction_rows(self) -> list[dict[str, Any]]:
        """Transactions as dicts, `attributes` among them."""
        if not self._rows:
            self._rows.extend(transaction_rows(self.transactions))
        return self._rows


def transaction_rows(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as dicts, `attributes` as a dict and `timestamp` as Unix time in ns."""
    names = [name for name in table.schema.names if name != "timestamp"]
    times = table.column("timestamp").cast(pa.int64()).to_pylist()
    rows: list[dict[str, Any]] = table.select(names).to_pylist()
    return [{"timestamp_ns": ns, **row, "attributes": dict(row["attributes"])} for ns, row in zip(times, rows, strict=True)]


def read(path: Path) -> Reading:
    """Read a whole capture file."""
    reader = CaptureReader()
    pairs = list(reader.batches(path))
    transactions, connections = (pa.Table.from_batches([pair[side] for pair in pairs]) for side in (0, 1))
    return Reading(transactions, connections, reader.red(), reader.counts())
