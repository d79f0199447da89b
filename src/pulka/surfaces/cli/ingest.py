"""`pulka ingest`: files, globs or stdin, plain or compressed, to a table."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import click
import httpx

from pulka.clock import SystemClock
from pulka.errors import BadInput, Temporary
from pulka.model.tables import check_table
from pulka.surfaces.cli.client import connect, raise_problem, url_option
from pulka.surfaces.cli.files import Chunk, chunks, expand

__all__ = ["ingest"]

_ATTEMPTS = 8
_SHOWN = 20


@dataclass(slots=True)
class Totals:
    """What was sent so far, and what came back."""

    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    duplicates: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def add(self, chunk: Chunk, outcome: dict[str, Any]) -> None:
        """Count the server's answer to one chunk; lines become those of the file."""
        self.rows += outcome["rows"]
        self.rejected += outcome["rejected"]
        self.bytes += len(chunk.body)
        self.duplicates += bool(outcome.get("duplicate"))
        self.reasons.update(outcome.get("reasons", {}))
        self.warnings.update(outcome.get("warnings", {}))
        for sample in outcome.get("samples", []):
            if len(self.samples) < _SHOWN:
                line = sample["item"] + chunk.lines_before
                self.samples.append(f"{chunk.source}:{line}: {sample['reason']}: {sample['detail']}")


@click.command()
@click.argument("files", nargs=-1)
@click.option("--table", default="logs", show_default=True, help="Table that takes the events; it comes into being on first write.")
@click.option("--input", "kind", type=click.Choice(["auto", "json", "csv"]), default="auto", show_default=True)
@click.option("--timestamp", "timestamps", multiple=True, metavar="FIELD", help="Field with the time; may be repeated, first valid wins.")
@click.option("--rename", "renames", multiple=True, metavar="FROM=TO", help="Store a field under another name.")
@click.option("--field", "constants", multiple=True, metavar="NAME=TEXT", help="Give every event this field.")
@click.option("--json-field", "json_fields", multiple=True, metavar="FIELD", help="Text field that holds a JSON object: take it apart.")
@click.option("--tenant", default="default", show_default=True)
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 32), help="Requests at once.")
@url_option
def ingest(
    files: tuple[str, ...], table: str, kind: str, timestamps: tuple[str, ...], renames: tuple[str, ...],
    constants: tuple[str, ...], json_fields: tuple[str, ...], tenant: str, jobs: int, url: str | None,
) -> None:  # fmt: skip
    """Send NDJSON, JSON arrays or CSV. Files may be globs, `-` is stdin; gzip and zstd are taken as they are.

    \b
    pulka ingest 'logs/*.ndjson.gz' --table logs
    kubectl logs my-pod | pulka ingest - --field service=my-pod
    pulka ingest spans.csv --table spans --timestamp StartTimeUnixNano --rename TraceID=trace_id
    """
    parameters = _parameters(timestamps, renames, constants, json_fields)
    sources = expand(files or ("-",))
    totals = Totals()
    with connect(url) as client, _progress(sources) as progress:
        sender = _Sender(client, f"/api/v1/ingest/{check_table(table)}", parameters, tenant)
        for chunk, outcome in _send_all(sender, (c for s in sources for c in chunks(s, kind)), jobs):
            totals.add(chunk, outcome)
            progress(chunk, totals)
    _summary(totals)
    if totals.rejected:
        sys.exit(1)


def _parameters(
    timestamps: tuple[str, ...], renames: tuple[str, ...], constants: tuple[str, ...], json_fields: tuple[str, ...]
) -> list[tuple[str, str]]:
    for pair in (*renames, *constants):
        if "=" not in pair:
            raise click.UsageError(f"`{pair}` needs the form NAME=VALUE")
    return [
        *(("timestamp_field", name) for name in timestamps),
        *(("rename", pair) for pair in renames),
        *(("field", pair) for pair in constants),
        *(("json_field", name) for name in json_fields),
    ]


@dataclass(frozen=True, slots=True)
class _Sender:
    client: httpx.Client
    path: str
    parameters: list[tuple[str, str]]
    tenant: str

    def send(self, chunk: Chunk) -> tuple[Chunk, dict[str, Any]]:
        """Post one chunk; a retry carries the same key, so nothing is stored twice."""
        key = blake2b(chunk.body, digest_size=16, person=b"pulka-ingest").hexdigest() + f"-{chunk.source}-{chunk.lines_before}"
        headers = {
            "Content-Type": chunk.content_type,
            "Idempotency-Key": blake2b(key.encode(), digest_size=16).hexdigest(),
            "X-Pulka-Tenant": self.tenant,
        }
        clock = SystemClock()
        for attempt in range(_ATTEMPTS):
            try:
                response = self.client.post(self.path, params=tuple(self.parameters), content=chunk.body, headers=headers)
                return chunk, _outcome(response)
            except (Temporary, httpx.ReadError, httpx.RemoteProtocolError):
                if attempt == _ATTEMPTS - 1:
                    raise
                import asyncio

                asyncio.run(clock.sleep(min(10.0, 0.2 * 2**attempt)))
        raise AssertionError("unreachable")


def _outcome(response: httpx.Response) -> dict[str, Any]:
    """The server's counts; a body of which nothing could be kept is a problem that has them too."""
    if response.status_code == 400 and "rejected" in (problem := response.json()):
        return {"rows": 0, **problem}
    raise_problem(response)
    return {**response.json(), "duplicate": "Idempotent-Replayed" in response.headers}


def _send_all(sender: _Sender, stream: Iterator[Chunk], jobs: int) -> Iterator[tuple[Chunk, dict[str, Any]]]:
    """Keep `jobs` requests under way; memory is bounded by `jobs` chunks."""
    pending: set[Future[tuple[Chunk, dict[str, Any]]]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        for chunk in stream:
            pending.add(pool.submit(sender.send, chunk))
            if len(pending) >= jobs:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)


class _progress:  # noqa: N801 - used as a function
    """One line with rows, MB/s and rejected; plain lines when stderr is no terminal."""

    def __init__(self, sources: list[str]) -> None:
        self._clock = SystemClock()
        self._start_s = self._clock.monotonic_s()
        self._shown_s = self._start_s
        self._size = sum(Path(s).stat().st_size for s in sources if s != "-" and Path(s).exists())
        self._live = sys.stderr.isatty()

    def __enter__(self) -> "_progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            click.echo("", err=True)

    def __call__(self, chunk: Chunk, totals: Totals) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._shown_s < (0.2 if self._live else 5.0):
            return
        self._shown_s = now_s
        rate = totals.bytes / 1e6 / max(now_s - self._start_s, 1e-6)
        done = f" {min(99, chunk.file_offset_bytes * 100 // self._size)}%" if self._size and len(chunk.source) and chunk.single else ""
        line = f"{totals.rows:,} rows  {rate:,.1f} MB/s  {totals.rejected:,} rejected{done}"
        click.echo(f"\r{line}   " if self._live else line, err=True, nl=not self._live)


def _summary(totals: Totals) -> None:
    for sample in totals.samples:
        click.echo(sample, err=True)
    hidden = totals.rejected - len(totals.samples)
    if hidden > 0:
        click.echo(f"... and {hidden:,} more rejected: {dict(totals.reasons)}", err=True)
    for warning, times in sorted(totals.warnings.items()):
        click.echo(f"kept with a remark: {warning} x {times:,}", err=True)
    if totals.duplicates:
        click.echo(f"{totals.duplicates:,} batches were sent before and are stored once", err=True)
    click.echo(f"{totals.rows:,} rows stored, {totals.rejected:,} rejected, {totals.bytes:,} bytes")
    if not totals.rows and not totals.rejected:
        raise BadInput("there was nothing to store", hint="the input is empty")
