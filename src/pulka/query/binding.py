"""A query over what is left of its tables after pruning: views over fragments, fresh batches and found rows."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from datafusion import DataFrame, SessionContext

from pulka.model.fields import TIMESTAMP
from pulka.model.rules import Removal
from pulka.model.tables import table as definition
from pulka.model.windows import TimeRange
from pulka.query import shapes
from pulka.query.counted import empty
from pulka.query.late import is_late
from pulka.query.plan import Use
from pulka.query.removal import fields_of, without
from pulka.query.schema import LogicalTable
from pulka.query.session import read_only
from pulka.query.source import Source

__all__ = ["Place", "Prepared", "bind", "scans", "shown_schema"]

_STAR = re.compile(r"(?:\b(?:select|distinct|all)|[,.])\s*\*", re.I)
T = TypeVar("T")


@dataclass(slots=True)
class Prepared:
    """A query bound to its tables. `joins`: its rows may multiply; `opaque`: not all it reads is a table; `functions` it could name.

    `newest`: so many of the newest rows of one table are all it wants; `digest`: of its plan over empty tables; `sorts`: all the rows of a table.
    """

    sql: str
    tables: Mapping[str, LogicalTable]
    schema: pa.Schema
    uses: Mapping[str, Use]
    joins: bool = False
    opaque: bool = False
    functions: tuple[str, ...] = ()
    newest: int | None = None
    digest: bytes = b""
    sorts: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of fragments are, by id (none to explain only), and where links to them go."""

    paths: Mapping[str, Path]
    scratch: Path


def bind(open_: Callable[[], SessionContext], prepared: Prepared, sources: Sequence[Source], place: Place, window: TimeRange) -> DataFrame:
    """The same SQL over the real tables, with as few fields as bind it; all of them where that does not do."""
    if not _STAR.search(prepared.sql):
        try:
            frame = _bound(open_(), prepared, sources, place, window, every=False)
            if frame.schema().names == prepared.schema.names or any(source.is_counted for source in sources):
                return frame
        except shapes.Outgrown:
            raise
        except Exception:  # noqa: S110 - a name the text hides, as in column aliases of a table: show all fields
            pass
    return _bound(open_(), prepared, sources, place, window, every=True)


def shown_schema(frame: DataFrame, prepared: Prepared) -> pa.Schema:
    """The schema of an answer; what only counts has other names within."""
    return pa.schema([own.with_name(name) for own, name in zip(frame.schema(), prepared.schema.names, strict=True)])


def _bound(session: SessionContext, prepared: Prepared, sources: Sequence[Source], place: Place, window: TimeRange, every: bool) -> DataFrame:
    if not any(is_late(source, place.paths) for source in sources):
        session.sql("SET datafusion.execution.parquet.pushdown_filters = false")
    counted = next((source.use.counted for source in sources if source.is_counted), None)
    sql = prepared.sql if counted is None else counted.sql
    read = {source.use.table.name for source in sources if not source.is_empty}
    for table in prepared.tables.values():
        if table.name not in read:
            session.register_record_batches(table.name, [[table.empty() if counted is None else empty(table)]])
    for source in sources:
        if source.use.table.name in read:
            fields = source.use.table.fields
            shown = frozenset(path for path in fields if every or path.replace('"', '""') in sql)
            session.register_view(source.use.table.name, _view(session, source, place, shown, window))
    return read_only(session, sql)


def _view(session: SessionContext, source: Source, place: Place, shown: frozenset[str], window: TimeRange) -> DataFrame:
    table = source.use.table
    used = frozenset(source.use.columns) | {TIMESTAMP}
    fields = [field for field in table.fields.values() if field.path in used]
    frames = [shapes.project(frame, shape, fields, source.is_counted) for shape, frame in scans(session, source, place, used)]
    return shapes.build_view(frames, table, used, shown, window)


def scans(session: SessionContext, source: Source, place: Place, used: frozenset[str]) -> Iterator[tuple[shapes.Shape, DataFrame]]:
    """The physical columns of the `used` fields, one scan per shape, without the rows that are removed."""
    table = source.use.table
    folder = Path(tempfile.mkdtemp(dir=place.scratch))
    for removals, members in _alike((source.hidden.in_fragment(one), one) for one in source.scanned):
        read = used | fields_of(removals)
        for shape, ones in shapes.group((shapes.shape_of_fragment(one, read), one) for one in members):
            shapes.check_known(shape, table, ones)
            paths = [place.paths[one.id].absolute() for one in ones] if place.paths else []  # nothing is read to explain
            scan = shapes.scan_fragments(session, shape, paths, Path(tempfile.mkdtemp(dir=folder), "links"))
            yield shape, without(scan, shape, removals)
    known = definition(table.name).columns
    for removals, batches in _alike((source.hidden.in_record(at), batch) for at, batch in source.fresh):
        read = used | fields_of(removals)
        for shape, some in shapes.group((shapes.shape_of_batch(one, read, known), one) for one in batches):
            shapes.check_known(shape, table)
            yield shape, without(shapes.scan_batches(session, shape, some), shape, removals)
    for shape, some in shapes.group((shapes.shape_of_fragment(one, used), batch) for one, batch in source.searched):
        shapes.check_known(shape, table)
        yield shape, shapes.scan_batches(session, shape, some)


def _alike(sources: Iterable[tuple[tuple[Removal, ...], T]]) -> list[tuple[tuple[Removal, ...], list[T]]]:
    """Sources from which the same is removed, together."""
    found: dict[tuple[Removal, ...], list[T]] = {}
    for removals, source in sources:
        found.setdefault(removals, []).append(source)
    return list(found.items())
