"""When columns are decoded late, which is for the rows only that pass the filters.

The Parquet reader takes the parts of a filter one after the other and decodes the columns of each anew. That pays where a part leaves few
rows for the next. Several texts that are sought in one column, when hardly anything else is read, only have that column decoded several times.
"""

from pulka.model.tables import table as definition
from pulka.query.plan import Use
from pulka.query.predicate import Contains, Like, Prefix, conjuncts

__all__ = ["is_late"]


def is_late(use: Use) -> bool:
    """Whether decoding late pays: not for several texts in one column that is read with columns of the sort order at most, which are small."""
    parts = conjuncts(use.scans[0]) if len(use.scans) == 1 else ()
    sought = {part.path for part in parts if isinstance(part, Prefix | Contains | Like)}
    only_texts = all(isinstance(part, Prefix | Contains | Like) for part in parts)
    small = {name.removeprefix("-") for name in definition(use.table.name).sort}
    return not (len(parts) > 1 and only_texts and len(sought) == 1 and use.columns <= sought | small)
