"""When columns are decoded late, which is for the rows only that pass the filters.

The Parquet reader takes the parts of a filter one after the other and decodes the columns of each anew, and once more for the result. That pays
where a part leaves few rows for what comes after it. It does not where nothing but the one column that is filtered is read, nor where several
texts are sought in one column and hardly anything else is read.
"""

from pulka.model.tables import table as definition
from pulka.query.plan import Use
from pulka.query.predicate import Contains, Like, Prefix, conjuncts
from pulka.query.source import Source

__all__ = ["is_late"]


def is_late(source: Source) -> bool:
    """Whether decoding late pays. A window that cuts through fragments is a filter of its own."""
    return not (_is_whole(source) and len(source.use.scans) == 1 and (len(source.use.columns) == 1 or _seeks_texts(source.use)))


def _is_whole(source: Source) -> bool:
    start, end = source.window.start_ns, source.window.end_ns
    return all((start is None or start <= one.min_ns) and (end is None or one.max_ns < end) for one in source.fragments)


def _seeks_texts(use: Use) -> bool:
    """Columns of the sort order may be read besides: they are small."""
    parts = conjuncts(use.scans[0])
    texts = [part for part in parts if isinstance(part, Prefix | Contains | Like)]
    small = {name.removeprefix("-") for name in definition(use.table.name).sort}
    sought = {part.path for part in texts}
    return 1 < len(texts) == len(parts) and len(sought) == 1 and use.columns <= sought | small
