"""Captures of real traffic beside the checkout, what we find in them, and what tshark does.

The captures belong to other projects and are not part of this repository: `../shared/captures`, or the directory that
`PULKA_CAPTURES` names. A test for a protocol is one call of `agreement` per capture:

    @pytest.mark.parametrize("capture", captures("dns"), ids=str)
    def test_...(capture): ...
"""

import csv
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pulka.edge.capture import Reading, read

ROOT = Path(os.environ.get("PULKA_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")

AGREEMENT = Path(__file__).parents[2] / "docs" / "edge-agreement.tsv"

Transaction = Mapping[str, Any]


@dataclass(frozen=True)
class Capture:
    """A capture file and the folder (a protocol's name) it is in."""

    protocol: str
    file: str

    @property
    def path(self) -> Path:
        return ROOT / self.file

    def beside(self, *suffixes: str) -> list[Path]:
        """Expected results next to it, as `x.result` or `x.baseline/http.log` of `x.pcap`."""
        stem = self.path.with_suffix("")
        return [path for suffix in suffixes for path in (stem.with_suffix(suffix), Path(f"{self.path}{suffix}")) if path.exists()]

    def __str__(self) -> str:
        return self.file


@cache
def captures(*protocols: str) -> list[Capture]:
    """All captures, or those in the folders named; none when the directory is absent."""
    manifest = ROOT / "MANIFEST.tsv"
    if not manifest.exists():
        return []
    with manifest.open() as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["role"] == "capture"]
    return [Capture(row["protocol"], row["file"]) for row in rows if not protocols or row["protocol"] in protocols]


@cache
def reading(capture: Capture) -> Reading:
    """What we find in it."""
    return read(capture.path)


def transactions(capture: Capture, *protocols: str) -> list[Transaction]:
    """Ours, of these protocols; `attributes` is a dict."""
    return [row for row in reading(capture).transaction_rows() if not protocols or row["protocol"] in protocols]


def decode_as(capture: Capture, protocol: str) -> tuple[str, ...]:
    """Tells tshark which ports speak a protocol, since it goes by ports where we go by content."""
    rows = reading(capture).connections.to_pylist()
    ports = {row["server"].rpartition(":")[2] for row in rows if row["protocol"] in (protocol, "grpc" if protocol == "http2" else protocol) and row["transport"] == "tcp"}
    return tuple(word for port in sorted(ports) for word in ("-d", f"tcp.port=={port},{protocol.removesuffix('1')}"))


@cache
def has_tshark() -> bool:
    return shutil.which("tshark") is not None


@cache
def tshark(capture: Capture, display_filter: str, fields: tuple[str, ...], options: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """One row per packet that matches; several values of a field are joined by a tab."""
    command = ["tshark", "-n", "-r", str(capture.path), "-Y", display_filter, "-T", "fields", "-E", "separator=\x1f", "-E", "aggregator=\x1e", "-E", "occurrence=a"]
    command += [word for name in fields for word in ("-e", name)] + list(options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    rows = [line.split("\x1f") for line in done.stdout.split("\n") if line]
    return [dict(zip(fields, (value.replace("\x1e", "\t") for value in row), strict=False)) for row in rows]


@dataclass
class Agreement:
    """Items (of any hashable kind) of a protocol that we and an oracle both found, over many captures."""

    protocol: str
    equal: int = 0
    total: int = 0
    captures: set[str] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)

    def add(self, capture: Capture, ours: Iterable[Any], oracle: Iterable[Any]) -> None:
        """Multisets: what only one of them found counts against us once."""
        mine, theirs = Counter(ours), Counter(oracle)
        self.captures |= {str(capture)} if mine or theirs else set()
        self.equal += (mine & theirs).total()
        self.total += (mine | theirs).total()
        for name, difference in (("only ours", mine - theirs), ("only the oracle", theirs - mine)):
            self.differences += [f"{capture}: {name}: {count} x {item}" for item, count in difference.items()]

    def check(self, share: float = 0.98) -> None:
        """Fails with the differences when fewer than `share` are equal, or when the figure in docs/edge-agreement.tsv is another."""
        assert self.total, "the oracle found nothing"
        assert self.equal >= share * self.total, f"{self.equal} of {self.total} equal\n" + "\n".join(self.differences[:80])
        known = dict(line.split("\t", 1) for line in AGREEMENT.read_text().splitlines())
        found = f"{len(self.captures)}\t{self.equal}\t{self.total}"
        if "PULKA_WRITE_AGREEMENT" in os.environ:
            known[self.protocol] = found
            rows = sorted((name, rest) for name, rest in known.items() if name != "protocol")
            AGREEMENT.write_text("".join(f"{name}\t{rest}\n" for name, rest in [("protocol", "captures\tequal\ttotal"), *rows]))
        assert known.get(self.protocol, "").split("\t")[1:] == found.split("\t")[1:], f"docs/edge-agreement.tsv is out of date: PULKA_WRITE_AGREEMENT=1 pytest tests/captures, then make docs\n{self.differences}"
