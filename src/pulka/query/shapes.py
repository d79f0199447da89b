"""One view over fragments and fresh batches of differing shape.

A shape says which physical columns hold the used fields and which of them the residual may hold. Sources of one shape are
one scan; a field that is one plain column stays a bare column, so that filters reach the Parquet reader.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from datafusion import DataFrame, Expr, SessionContext, col, lit, udf
from datafusion import functions as f

from pulka.errors import Temporary
from pulka.model.fields import RESIDUAL, TIMESTAMP, Column, FieldType, arrow_type, columns_of, widest
from pulka.model.windows import TimeRange
from pulka.query.counted import COUNTS
from pulka.query.names import quote
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.text import sql_type
from pulka.seams import Fragment

__all__ = [
    "Outgrown", "Shape", "build_view", "check_known", "group", "project", "scan_batches", "scan_fragments", "shape_of_batch", "shape_of_fragment", "values",
]  # fmt: skip

_SHAPES_MAX = 16
"""From here on sources join any shape they do not contradict, even if that costs a bare column."""
Source = TypeVar("Source")


class Outgrown(Temporary):
    """A source knows more types of a field than the plan: it was looked up before the source came."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Physical columns of the used fields, and the used fields that may be in the residual."""

    columns: frozenset[Column]
    residual: frozenset[str]

    def schema(self) -> pa.Schema:
        """The physical columns to read."""
        fields = [(column.name, sql_type(column.type)) for column in sorted(self.columns, key=lambda c: c.name)]
        return pa.schema([*fields, (RESIDUAL, pa.string())] if self.residual else fields)

    def merge(self, other: "Shape") -> "Shape":
        """The shape of sources of both; a column that one of them lacks is null there."""
        return Shape(self.columns | other.columns, self.residual | other.residual)

    def layout(self) -> dict[str, tuple[frozenset[Column], bool]]:
        """Per field, its columns and whether the residual may hold it."""
        paths = {column.path for column in self.columns} | self.residual
        return {
            path: (frozenset(c for c in self.columns if c.path == path), path in self.residual) for path in paths
        }  # fmt: skip

    def contradicts(self, other: "Shape") -> bool:
        """Whether a physical name means two things."""
        names = {column.name: column for column in self.columns}
        return any(names.get(column.name, column) != column for column in other.columns)

    def agrees(self, other: "Shape") -> bool:
        """Whether every field that both have is laid out alike."""
        ours, theirs = self.layout(), other.layout()
        return all(ours[path] == theirs[path] for path in ours.keys() & theirs.keys())


def shape_of_fragment(fragment: Fragment, used: Iterable[str]) -> Shape:
    """The shape of a fragment as far as the `used` fields go."""
    wanted = frozenset(used)
    columns = frozenset(stats.column for stats in fragment.columns if stats.column.path in wanted)
    return Shape(columns, wanted & frozenset(fragment.residual))


def shape_of_batch(batch: pa.RecordBatch, used: Iterable[str], well_known: Iterable[str]) -> Shape:
    """The shape of a fresh batch; any used field but a well-known one may be in its residual."""
    wanted = frozenset(used)
    columns = frozenset(column for column in columns_of(batch.schema) if column.path in wanted)
    residual = wanted - frozenset(well_known) if RESIDUAL in batch.schema.names else frozenset()
    return Shape(columns, residual)


def group(sources: Iterable[tuple[Shape, Source]]) -> list[tuple[Shape, list[Source]]]:
    """Put sources that one scan can read together, in their order."""
    exact: dict[Shape, list[Source]] = {}
    for shape, source in sources:
        exact.setdefault(shape, []).append(source)
    groups: list[tuple[Shape, list[Source]]] = []
    for shape, members in exact.items():
        place = _place(shape, [known for known, _ in groups])
        if place is None:
            groups.append((shape, members))
        else:
            groups[place] = (groups[place][0].merge(shape), groups[place][1] + members)
    return groups


def _place(shape: Shape, known: Sequence[Shape]) -> int | None:
    crowded = len(known) >= _SHAPES_MAX
    for index, other in enumerate(known):
        if not other.contradicts(shape) and (crowded or other.agrees(shape)):
            return index
    return None


def check_known(shape: Shape, table: LogicalTable, members: Iterable[Fragment] = ()) -> None:
    """Outgrown when sources of this shape hold a field with a type that `table` does not know of."""
    types = {(column.path, column.type) for column in shape.columns}
    types |= {(path, kind) for one in members for path in shape.residual for kind in one.residual.get(path, ())}
    if any(path not in table.fields or kind not in table.fields[path].seen for path, kind in types):
        raise Outgrown("the fields of a table changed while the query was planned", hint="ask again")


def scan_fragments(session: SessionContext, shape: Shape, paths: Sequence[Path], folder: Path) -> DataFrame:
    """Fragments of one shape as one scan: `folder` becomes a directory of links, which costs less than a union.

    FileNotFoundError or ValueError when a file is missing or empty: DataFusion would pass over its link, and with it over its rows.
    """
    folder.mkdir()
    for number, path in enumerate(paths):
        if path.stat().st_size == 0:
            raise ValueError("Invalid Parquet file: it is empty")
        (folder / f"{number:08}.parquet").symlink_to(path)
    return session.read_parquet(folder, schema=shape.schema())


def scan_batches(session: SessionContext, shape: Shape, batches: Sequence[pa.RecordBatch]) -> DataFrame:
    """Fresh batches of one shape as one scan."""
    schema = shape.schema()
    if COUNTS in batches[0].schema.names:
        schema = schema.append(pa.field(COUNTS, pa.int64()))
    return session.read_batches([_project(batch, schema) for batch in batches])


def _project(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    present = set(batch.schema.names)
    arrays = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def project(scan: DataFrame, shape: Shape, fields: Sequence[LogicalField], weighed: bool = False) -> DataFrame:
    """The logical `fields` out of a scan of physical columns; if `weighed`, also for how many rows each row stands."""
    shown = values(shape, fields)
    if weighed:
        shown.append(_column(COUNTS) if COUNTS in scan.schema().names else lit(1).alias(COUNTS))
    return scan.select(*shown)


def values(shape: Shape, fields: Sequence[LogicalField]) -> list[Expr]:
    """The logical `fields` as expressions over physical columns."""
    layout = shape.layout()
    return [_value(field, *layout.get(field.path, (frozenset(), False))) for field in fields]


def build_view(
    scans: Sequence[DataFrame], table: LogicalTable, used: frozenset[str], shown: frozenset[str], window: TimeRange
) -> DataFrame:
    """The union of `scans` within `window`; fields that are shown but not used are null."""
    union = _within(_balanced(list(scans)), window)
    if shown <= used:
        return union
    fields = [field for field in table.fields.values() if field.path in shown | used]
    weights = [_column(name) for name in union.schema().names if name == COUNTS]
    return union.select(*(_column(field.path) if field.path in used else _null(field) for field in fields), *weights)


def _balanced(frames: list[DataFrame]) -> DataFrame:
    """Halve until one is left: a deep chain of unions is slow to plan."""
    while len(frames) > 1:
        frames = [
            frames[i].union(frames[i + 1]) if i + 1 < len(frames) else frames[i] for i in range(0, len(frames), 2)
        ]
    return frames[0]


def _within(frame: DataFrame, window: TimeRange) -> DataFrame:
    timestamp = _column(TIMESTAMP)
    if window.start_ns is not None:
        frame = frame.filter(timestamp >= _instant(window.start_ns))
    return frame if window.end_ns is None else frame.filter(timestamp < _instant(window.end_ns))


def _instant(nanoseconds: int) -> Expr:
    return lit(pa.scalar(nanoseconds, arrow_type("timestamp")))


def _column(name: str) -> Expr:
    return col(quote(name))


def _null(field: LogicalField) -> Expr:
    return lit(None).cast(sql_type(field.type)).alias(field.path)


def _value(field: LogicalField, columns: frozenset[Column], in_residual: bool) -> Expr:
    """Values of a type that this one cannot show are null: the type may have been fixed before they came."""
    kind = sql_type(field.type)
    values = [
        _column(column.name) if sql_type(column.type) == kind else _column(column.name).cast(kind)
        for column in sorted(columns, key=lambda column: column.name)
        if widest((column.type, field.type)) == field.type
    ]
    if in_residual:
        values += _residual_values(field)
    if not values:
        return _null(field)
    return (values[0] if len(values) == 1 else f.coalesce(*values)).alias(field.path)


def _residual_values(field: LogicalField) -> list[Expr]:
    if field.type == "str":
        return [_residual(field.path, "text", "str").cast(sql_type("str"))]
    if field.type != "f64":
        return [_residual(field.path, field.type, field.type).cast(sql_type(field.type))]
    return [_residual(field.path, "f64", "f64"), _residual(field.path, "i64", "i64").cast(pa.float64())]


def _residual(path: str, kind: str, shown: FieldType) -> Expr:
    from pulka._native import residual_get  # only queries that meet a residual need the native part

    def extract(residual: pa.Array) -> pa.Array:
        return residual_get(residual, path, kind)

    function = udf(extract, [pa.string()], arrow_type(shown), "immutable", f"residual_{kind}({path})")
    return function(_column(RESIDUAL))
