"""Results as Arrow: handed on to Polars, pandas or DuckDB, and shown in a notebook."""

import html
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from pulka.errors import Temporary

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import polars as pl

__all__ = ["Answer", "Result", "read_result", "table_html"]

_SHOWN_ROWS = 20
_CELL_CHARS = 200


class Result:
    """The answer of a query: `table`, an Arrow table, and `stats`, what the server says of the work it took.

    It is an Arrow stream to whoever asks for one (`__arrow_c_stream__`): `duckdb.sql("FROM result")`, `polars.DataFrame(result)`.
    """

    def __init__(self, table: pa.Table, stats: dict[str, Any]) -> None:
        self.table, self.stats = table, stats

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.column_names)

    def to_arrow(self) -> pa.Table:
        """The Arrow table itself, not copied."""
        return self.table

    def to_polars(self) -> "pl.DataFrame":
        """A Polars data frame over the same buffers where Polars can."""
        import polars as pl

        frame = pl.from_arrow(self.table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_pandas(self) -> "pd.DataFrame":
        """A pandas data frame; columns without nulls share the buffers where pandas can."""
        return self.table.to_pandas(split_blocks=True)

    def to_pylist(self) -> list[dict[str, Any]]:
        """One dict per row. Timestamps become datetimes, which know microseconds only."""
        return list(_with_datetimes(self.table).to_pylist())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches():
            yield from _with_datetimes(pa.Table.from_batches([batch])).to_pylist()

    def __repr__(self) -> str:
        return f"<Result: {len(self):,} rows of {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        shown = _with_datetimes(self.table.slice(0, _SHOWN_ROWS)).to_pylist()
        notes = [f"{len(self):,} rows"]
        if len(self) > _SHOWN_ROWS:
            notes.append(f"the first {_SHOWN_ROWS} are shown")
        if self.stats.get("truncated"):
            notes.append("cut at the server's limit")
        if "fragments_total" in self.stats:
            notes.append(f"{self.stats.get('fragments_scanned', 0)} of {self.stats['fragments_total']} fragments read")
        types = {field.name: str(field.type) for field in self.table.schema}
        return table_html(self.columns, [[row[name] for name in self.columns] for row in shown], ", ".join(notes), types)


def read_result(content: bytes) -> Result:
    """The stream over the bytes of the answer, which are not copied; its last batch is empty and has the statistics."""
    batches, stats = [], {}
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            except pa.ArrowInvalid as error:
                raise Temporary("the answer broke off", hint="ask again; the server's log says why") from error
            if metadata is not None and b"pulka.stats" in metadata:
                stats = msgspec.json.decode(metadata[b"pulka.stats"])
            if batch.num_rows:
                batches.append(batch)
        return Result(pa.Table.from_batches(batches, reader.schema), stats)


class Answer(dict[str, Any]):
    """The answer of a question that is no table, as the API gives it; `rows_under` names the list that is shown."""

    def __init__(self, given: dict[str, Any], rows_under: str) -> None:
        super().__init__(given)
        self._rows_under = rows_under

    def _repr_html_(self) -> str:
        rows = self.get(self._rows_under, [])
        columns = list(dict.fromkeys(name for row in rows for name in row))
        rest = {name: value for name, value in self.items() if name != self._rows_under}
        return table_html(columns, [[row.get(name) for name in columns] for row in rows], json.dumps(rest, default=str))


def table_html(columns: list[str], rows: list[list[object]], note: str, titles: dict[str, str] | None = None) -> str:
    """An HTML table; everything in it is text."""
    titles = titles or {}
    head = "".join(f'<th title="{html.escape(titles.get(name, ""))}">{html.escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(_cell(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(note[:1000])}</p>"


def _cell(value: object) -> str:
    text = "" if value is None else json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
    return text if len(text) <= _CELL_CHARS else f"{text[:_CELL_CHARS]}…"


def _with_datetimes(table: pa.Table) -> pa.Table:
    fields = [field.with_type(_microseconds(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields), safe=False)


def _microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return kind
