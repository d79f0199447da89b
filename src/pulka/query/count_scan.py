"""The count before the query: of each fragment the rows that count alike become one, and the query runs over what is left (`counted.py`).

Fields that are no one plain column of a fragment are taken as they are stored, residual included: what is stored alike is alike.
"""

import asyncio
from collections.abc import Iterable, Mapping

from pulka.model.fields import RESIDUAL, Column
from pulka.model.windows import TimeRange
from pulka.query.counted import EQUAL, Alike, Counted
from pulka.query.exact import Test
from pulka.query.plan import Use
from pulka.query.schema import LogicalField
from pulka.query.search_scan import Condition, Found, conditions, plain_columns, within
from pulka.seams import Fragment

__all__ = ["count_rows"]

Said = tuple[str, str, object]
Request = tuple[str, list[Said], list[str], list[Said], list[Condition]]


async def count_rows(use: Use, counted: Counted, window: TimeRange, fragments: Mapping[str, Fragment], *, bytes_max: int, threads: int) -> Found:
    """Count in `fragments`, by the path of their files; given up when too few rows are alike, or what is found takes more than `bytes_max`."""
    from pulka._native import Counts  # only queries that count need the native part

    requests = await asyncio.to_thread(lambda: {one.id: _request(use, counted, window, path, one) for path, one in fragments.items()})
    try:
        native = Counts(list(requests.values()), bytes_max=bytes_max, threads=threads)
        found = await asyncio.to_thread(native.run)
    except asyncio.CancelledError:
        native.cancel()
        raise
    except (OSError, ValueError):
        return Found(given_up=True)  # a file that cannot be read, or an expression that is none: the scan will say so
    rows = {} if found.batches is None else dict(zip(requests, found.batches, strict=True))
    return Found(rows, found.batches is None, found.row_groups, found.pruned, found.rows, found.bytes_read, counted=found.batches is not None)


def _request(use: Use, counted: Counted, window: TimeRange, path: str, fragment: Fragment) -> Request:
    plain = plain_columns(fragment)
    shown = {name: column for name, column in plain.items() if _is_shown(column, use.table.fields.get(name))}
    tests = [one for one in (*counted.exact.tests, *_window(window)) if one.path in shown]
    keys = {**counted.keys, **{one.path: EQUAL for one in counted.exact.tests if one.path not in shown}}
    keys |= dict.fromkeys(use.columns - keys.keys() - {one.path for one in tests}, EQUAL)
    witnesses = [shown[name].name for name in {one.path for one in tests} - keys.keys()]
    sought = [one for part in use.scans for one in conditions(part, use.table, plain)]
    said = [(shown[one.path].name, one.kind, one.operand) for one in tests]
    return path, list(_keys(keys, shown, fragment)), witnesses, said, [*sought, *within(window)]


def _is_shown(column: Column, field: LogicalField | None) -> bool:
    """Whether SQL sees the values of a column as they are."""
    return field is not None and (column.type == field.type or {column.type, field.type} <= {"str", "json"})


def _window(window: TimeRange) -> Iterable[Test]:
    for column, kind, operand in within(window):
        yield Test(column, kind, [operand])


def _keys(keys: Mapping[str, Alike], shown: Mapping[str, Column], fragment: Fragment) -> Iterable[Said]:
    for path, alike in keys.items():
        if path in shown:
            yield shown[path].name, *alike
        else:
            yield from ((stats.column.name, *EQUAL) for stats in fragment.columns_of(path))
    if any(path in fragment.residual for path in keys):
        yield RESIDUAL, *EQUAL
