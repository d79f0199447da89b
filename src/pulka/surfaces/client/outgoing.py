"""Events of a program as NDJSON, the form every sender uses: typed, nested, of any width. Arrow is written by DataFusion, without a Python object per event."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from pulka.errors import BadInput

__all__ = ["bodies"]

_BODY_BYTES = 8 << 20
_BATCH_ROWS = 16_384


def bodies(data: Any) -> Iterator[bytes]:
    """Bodies of some MB each. `data`: an Arrow table, batch or reader, a Polars or pandas data frame, whatever else is an Arrow stream,
    one event, or any iterable of events as mappings. BadInput when it is none of these."""
    if isinstance(data, Mapping):
        yield from _of_events([data])
    elif (reader := _reader(data)) is not None:
        yield from _of_arrow(reader)
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        yield from _of_events(data)
    else:
        raise BadInput(f"a {type(data).__name__} holds no events", hint="give an Arrow table, a data frame, or an iterable of dicts")


def _reader(data: Any) -> pa.RecordBatchReader | None:
    if isinstance(data, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(data.schema, [data])
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, pa.Table):
        return data.to_reader(_BATCH_ROWS)
    if type(data).__module__.partition(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False).to_reader(_BATCH_ROWS)
    if hasattr(data, "collect") and type(data).__module__.startswith("polars"):
        data = data.collect()  # a lazy frame
    return pa.RecordBatchReader.from_stream(data) if hasattr(data, "__arrow_c_stream__") else None


def _of_arrow(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    """Batches are cut so that a body is of a handy size; the encoded size of a row is not known before."""
    for batch in reader:
        rows = max(1, min(_BATCH_ROWS, batch.num_rows * _BODY_BYTES // max(4 * batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield _encoded(batch.slice(start, rows))


def _encoded(batch: pa.RecordBatch) -> bytes:
    from datafusion import SessionContext

    with tempfile.TemporaryDirectory(prefix="pulka-ingest-") as folder:
        path = Path(folder, "events.json")
        SessionContext().from_arrow(_plain(batch)).write_json(str(path))
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        return b"".join(file.read_bytes() for file in files)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without what JSON has no word for: times of day and lengths of time become text and numbers, dictionaries their values."""
    return pa.RecordBatch.from_arrays([_column(column) for column in batch.columns], names=batch.schema.names)


def _column(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        values = column.dictionary
        plain = values.cast(pa.string()) if pa.types.is_string_view(values.type) else values  # Arrow does not gather views
        return pa.DictionaryArray.from_arrays(column.indices, plain).dictionary_decode()
    if pa.types.is_duration(kind):
        return column.cast(pa.int64())
    if pa.types.is_time(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ns", "UTC"))
    return column


def _of_events(events: Iterable[Any]) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for event in events:
        lines.append(_line(event))
        size += len(lines[-1])
        if size >= _BODY_BYTES:
            yield b"\n".join(lines)
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines)


def _line(event: Any) -> bytes:
    if not isinstance(event, Mapping):
        raise BadInput(f"an event is a mapping, not a {type(event).__name__}", hint='as in {"service": "web", "message": "hello"}')
    return msgspec.json.encode(dict(event), enc_hook=str)
