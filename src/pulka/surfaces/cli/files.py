"""Input files as chunks that end at record boundaries, so that memory stays bounded whatever the file's size."""

import glob
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from pulka.errors import BadInput

__all__ = ["Chunk", "chunks", "expand"]

CHUNK_BYTES = 2 << 20
_ARRAY_BYTES_MAX = 48 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A body to send. A line number in the answer plus `lines_before` is the line in the file."""

    source: str
    body: bytes
    content_type: str
    lines_before: int
    file_offset_bytes: int = 0
    single: bool = False


def expand(patterns: tuple[str, ...]) -> list[str]:
    """Files named by paths and globs, sorted; `-` is stdin. BadInput when a pattern names nothing."""
    sources: list[str] = []
    for pattern in patterns:
        found = [pattern] if pattern == "-" or Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        found = [name for name in found if name == "-" or Path(name).is_file()]
        if not found:
            raise BadInput(f"no file matches `{pattern}`", hint="check the path; quote a glob so that the shell leaves it alone")
        sources += found
    return sources


def chunks(source: str, kind: str) -> Iterator[Chunk]:
    """Read one source piece by piece."""
    with _open(source) as stream:
        head = stream.read(CHUNK_BYTES)
        if kind == "csv" or (kind == "auto" and _named(source, ".csv")):
            yield from _csv(source, head, stream)
        elif head.lstrip()[:1] == b"[":
            yield from _array(source, head, stream)
        else:
            yield from _lines(source, head, stream)


def _named(source: str, suffix: str) -> bool:
    return suffix in Path(source).suffixes


def _open(source: str) -> IO[bytes]:
    raw: IO[bytes] = sys.stdin.buffer if source == "-" else Path(source).open("rb")  # noqa: SIM115 - closed by the caller
    magic = raw.peek(4)[:4] if hasattr(raw, "peek") else b""
    for start, codec in _MAGIC.items():
        if magic.startswith(start):
            stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
            return stream
    return raw


def _lines(source: str, head: bytes, stream: IO[bytes]) -> Iterator[Chunk]:
    lines_before = 0
    rest = b""
    while head or rest:
        body, rest = _cut(rest + head, at_end=not head)
        if body:
            yield Chunk(source, body, "application/x-ndjson", lines_before)
            lines_before += body.count(b"\n")
        head = _read(source, stream) if head else b""


def _cut(data: bytes, at_end: bool) -> tuple[bytes, bytes]:
    if at_end:
        return data, b""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _csv(source: str, head: bytes, stream: IO[bytes]) -> Iterator[Chunk]:
    """Each chunk repeats the header; a newline inside quotes is no boundary."""
    header = b""
    lines_before = 0
    rest = b""
    while head or rest:
        body, rest = _cut_csv(rest + head, at_end=not head)
        if body and not header:
            header = body[: body.find(b"\n") + 1] or body
            yield Chunk(source, body, "text/csv", 0)
            lines_before = body.count(b"\n") - 1
        elif body:
            yield Chunk(source, header + body, "text/csv", lines_before)
            lines_before += body.count(b"\n")
        head = _read(source, stream) if head else b""


def _cut_csv(data: bytes, at_end: bool) -> tuple[bytes, bytes]:
    if at_end:
        return data, b""
    quotes = data.count(b'"')
    end = len(data)
    while (end := data.rfind(b"\n", 0, end)) >= 0:
        if (quotes - data.count(b'"', end)) % 2 == 0:
            return data[: end + 1], data[end + 1 :]
    return b"", data


def _array(source: str, head: bytes, stream: IO[bytes]) -> Iterator[Chunk]:
    body = head + stream.read(_ARRAY_BYTES_MAX)
    if len(body) > _ARRAY_BYTES_MAX:
        raise BadInput(f"{source} is one JSON array of more than {_ARRAY_BYTES_MAX:,} bytes", hint="make it NDJSON: jq -c '.[]'")
    yield Chunk(source, body, "application/json", 0)


def _read(source: str, stream: IO[bytes]) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except OSError as error:
        raise BadInput(f"{source} is broken: {error}", hint="what came before the damage was sent; mend the file") from error
