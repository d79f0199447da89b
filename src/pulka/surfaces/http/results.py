"""Results on the wire: Arrow batches to JSON, NDJSON, CSV or an Arrow stream, with the statistics last.

- `json`: `{"columns": [{"name", "type"}], "rows": [{...}], "stats": {...}}`.
- `ndjson`: one object per row, then `{"_stats": {...}}`. A failure midway ends it with `{"_error": {...}}` instead.
- `csv`: a header line and the rows; it has no place for statistics.
- `arrow`: an IPC stream whose last batch is empty and carries the statistics as JSON in its custom metadata under
  `pulka.stats`. Every Arrow reader takes the stream as it is; `read_next_batch_with_custom_metadata` shows the statistics.

Values: timestamps are RFC 3339 with nanoseconds, integers are exact, NaN and infinities are null in JSON.
"""

import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from typing import Literal, cast, get_args

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pulka.errors import BadInput, PulkaError
from pulka.seams import QueryStats, Result

__all__ = ["MEDIA_TYPES", "Format", "choose_format", "encode", "rfc3339", "rows_of", "stamp"]

Format = Literal["json", "ndjson", "csv", "arrow"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
}
_BY_MEDIA_TYPE = {media_type: name for name, media_type in MEDIA_TYPES.items()}
_SLICE_ROWS = 4096
"""Rows turned to JSON at once: bounds both memory and the time the event loop is held."""

_to_json = msgspec.json.Encoder(decimal_format="string").encode


def choose_format(name: str | None, accept: str) -> Format:
    """The format named by the request, else the first one its Accept header knows, else JSON."""
    if name:
        return _checked(name)
    for item in accept.split(","):
        known = _BY_MEDIA_TYPE.get(item.partition(";")[0].strip().lower())
        if known:
            return known
    return "json"


def encode(result: Result, name: Format) -> AsyncIterator[bytes]:
    """The result as chunks of bytes; statistics are read when its batches have ended."""
    return _ENCODERS[name](result)


async def _json(result: Result) -> AsyncIterator[bytes]:
    columns = [{"name": field.name, "type": str(field.type)} for field in result.schema]
    yield b'{"columns":' + _to_json(columns) + b',"rows":['
    comma = b""
    try:
        async for batch in result.batches:
            for rows in rows_of(batch):
                yield comma + _to_json(rows)[1:-1]
                comma = b","
    except PulkaError as error:
        yield b'],"error":' + _to_json(error.as_dict()) + b"}\n"
    else:
        yield b'],"stats":' + _stats(result.stats) + b"}\n"


async def _ndjson(result: Result) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder(decimal_format="string")
    try:
        async for batch in result.batches:
            for rows in rows_of(batch):
                yield encoder.encode_lines(rows)
    except PulkaError as error:
        yield b'{"_error":' + _to_json(error.as_dict()) + b"}\n"
    else:
        yield b'{"_stats":' + _stats(result.stats) + b"}\n"


async def _csv(result: Result) -> AsyncIterator[bytes]:
    header = True
    async for batch in result.batches:
        yield _csv_bytes(_flat(batch), header)
        header = False
    if header:
        yield _csv_bytes(_flat(_empty(result.schema)), header)


async def _arrow(result: Result) -> AsyncIterator[bytes]:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, result.schema) as writer:
        async for batch in result.batches:
            writer.write_batch(batch)
            yield _drain(sink)
        writer.write_batch(_empty(result.schema), custom_metadata={"pulka.stats": _stats(result.stats)})
    yield _drain(sink)


_ENCODERS: dict[Format, Callable[[Result], AsyncIterator[bytes]]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "arrow": _arrow,
}


def _checked(name: str) -> Format:
    if name not in get_args(Format):
        raise BadInput("there is no such format", hint="use json, ndjson, csv or arrow")
    return cast(Format, name)


def rows_of(batch: pa.RecordBatch) -> Iterator[list[dict[str, object]]]:
    """Rows as objects, a slice at a time: the one place where a result becomes Python objects; its rows are limited."""
    for start in range(0, batch.num_rows, _SLICE_ROWS):
        part = batch.slice(start, _SLICE_ROWS)
        columns = [_readable(column).to_pylist() for column in part.columns]
        names = part.schema.names
        yield [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """For CSV: what is nested becomes JSON text, what is binary becomes hexadecimal text."""
    return pa.RecordBatch.from_arrays([_cell(column) for column in batch.columns], names=batch.schema.names)


def _cell(column: pa.Array) -> pa.Array:
    column = _readable(column)
    if pa.types.is_nested(column.type):
        return pa.array(
            [None if value is None else _to_json(value).decode() for value in column.to_pylist()], pa.string()
        )
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    return column


def _readable(column: pa.Array) -> pa.Array:
    """The column with RFC 3339 text where timestamps were."""
    if pa.types.is_timestamp(column.type):
        return rfc3339(column)
    if pa.types.is_dictionary(column.type):
        return _readable(column.dictionary_decode())
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64())
    if pa.types.is_nested(column.type):
        return column.cast(_textual(column.type))
    return column


def rfc3339(column: pa.Array) -> pa.Array:
    """Timestamps of any unit and zone as UTC text with nine digits of a second; those without a zone are UTC."""
    return pc.strftime(column.cast(pa.timestamp("ns", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")


def stamp(moment_ns: int | None) -> str | None:
    """One moment as `rfc3339` writes it."""
    text: str | None = rfc3339(pa.array([moment_ns], pa.timestamp("ns", "UTC")))[0].as_py()
    return text


def _textual(kind: pa.DataType) -> pa.DataType:
    """A nested type with text in place of its timestamps, which Python's datetime could not hold to the nanosecond."""
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_textual(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_textual(kind.value_type)))
    return kind


def _csv_bytes(batch: pa.RecordBatch, header: bool) -> bytes:
    sink = io.BytesIO()
    pa.csv.write_csv(batch, sink, pa.csv.WriteOptions(include_header=header, quoting_style="needed"))
    return sink.getvalue()


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def _drain(sink: io.BytesIO) -> bytes:
    chunk = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return chunk


def _stats(stats: QueryStats) -> bytes:
    told = asdict(stats)
    return _to_json(told if stats.sql else {name: value for name, value in told.items() if name != "sql"})
