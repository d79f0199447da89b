"""When columns are decoded late, which is for the rows only that pass the filters.

The Parquet reader takes the parts of a filter one after the other and decodes the columns of each anew, and once more for the result. That pays
where a part leaves few rows for what comes after it, or rows that lie together. It does not where nothing but the one column that is filtered is read,
nor where several texts are sought in one column and hardly anything else is read, nor for numbers in no order of which more than a few pass: to read rows
here and there takes up to twice as long as to read all.
"""

from collections.abc import Mapping
from pathlib import Path

from pulka.model.tables import table as definition
from pulka.query.plan import Use
from pulka.query.predicate import Contains, Like, Prefix, conjuncts
from pulka.query.selectivity import measured_share, numbers_of
from pulka.query.source import Source

__all__ = ["is_late"]

_FEW = 0.02
_ROWS_MIN = 1 << 19
"""To measure takes about as long as to filter so many."""


def is_late(source: Source, paths: Mapping[str, Path]) -> bool:
    """Whether decoding late pays; `paths` are the files of its fragments. A window that cuts through fragments is a filter of its own."""
    if len(source.use.scans) != 1 or not _is_whole(source):
        return True
    return not (len(source.use.columns) == 1 or _seeks_texts(source.use) or _passes_many(source, paths))


def _is_whole(source: Source) -> bool:
    start, end = source.window.start_ns, source.window.end_ns
    return all((start is None or start <= one.min_ns) and (end is None or one.max_ns < end) for one in source.fragments)


def _passes_many(source: Source, paths: Mapping[str, Path]) -> bool:
    """Of few rows nothing is measured, nor to explain only, when there are no files."""
    scanned, parts = source.scanned, [numbers_of(part) for part in conjuncts(source.use.scans[0])]
    if sum(one.rows for one in scanned) < _ROWS_MIN or not paths or None in parts:
        return False
    share = measured_share([part for part in parts if part], scanned, paths)
    return share is not None and share > _FEW


def _seeks_texts(use: Use) -> bool:
    """Columns of the sort order may be read besides: they are small."""
    parts = conjuncts(use.scans[0])
    texts = [part for part in parts if isinstance(part, Prefix | Contains | Like)]
    small = {name.removeprefix("-") for name in definition(use.table.name).sort}
    sought = {part.path for part in texts}
    return 1 < len(texts) == len(parts) and len(sought) == 1 and use.columns <= sought | small
