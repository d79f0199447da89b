"""From the text of a query to what it reads: macros, names, and a plan over empty tables."""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b

from datafusion import DataFrame, SessionContext
from datafusion.plan import LogicalPlan

from pulka.model.windows import TimeRange
from pulka.query import messages
from pulka.query.binding import Prepared
from pulka.query.counted import counted
from pulka.query.functions import Surroundings, expand
from pulka.query.names import mentioned, quote_paths, quote_word, unique_match
from pulka.query.newest import newest_rows
from pulka.query.plan import Use, uses
from pulka.query.schema import LogicalTable
from pulka.query.session import read_only

__all__ = ["prepare"]

_NAMES_TRIED_MAX = 64
_MULTIPLIES = re.compile(r"^\s*(?:\w+ Join|CrossJoin|RecursiveQuery)\b", re.M)
_SORTS = re.compile(r"^\s*(?:Sort: (?!.*\bfetch=)|WindowAggr: )", re.M)
_GROUPS = re.compile(r"^\s*Aggregate: ", re.M)
_OPAQUE = re.compile(r"^\s*(?:TableScan: \w+\(|RecursiveQuery|Unnest)", re.M)


def prepare(open_: Callable[[], SessionContext], statement: str, known: Mapping[str, LogicalTable], window: TimeRange, now_ns: int) -> Prepared:
    """Bind the one SELECT in `statement` to the tables it names. PulkaError says what is wrong with it."""
    sql = expand(statement, Surroundings(mentioned(statement, known), window, now_ns))
    tables = mentioned(sql, known)
    session = open_()
    functions = (*session.udfs(), *session.udafs(), *session.udwfs())
    for table in tables.values():
        session.register_record_batches(table.name, [[table.empty()]])
    try:
        sql, frame = _resolve(session, quote_paths(sql, tables), tables)
        plan = frame.optimized_logical_plan()
        used, said = uses(plan, tables), plan.display_indent()
        _count(session, sql, plan, used)
        return Prepared(
            sql, tables, frame.schema(), used, bool(_MULTIPLIES.search(said)), bool(_OPAQUE.search(said)), functions,
            newest_rows(plan), blake2b(said.encode(errors="replace"), digest_size=16).digest(), _sorts(said),
        )  # fmt: skip
    except Exception as error:
        raise messages.translate(error, known, functions) from error


def _sorts(plan: str) -> bool:
    """Whether all rows of a table are sorted: not only the first few of them kept, nor only groups of them (which are further down)."""
    *_, last = [None, *_SORTS.finditer(plan)]
    return last is not None and _GROUPS.search(plan, last.end()) is None


def _count(session: SessionContext, sql: str, plan: LogicalPlan, used: Mapping[str, Use]) -> None:
    """Note how a query over one table may count."""
    if len(used) == 1:
        [use] = used.values()
        if len(use.scans) == 1:
            use.counted = counted(session, sql, plan, use.table, use.columns, use.exact)


def _resolve(session: SessionContext, sql: str, tables: Mapping[str, LogicalTable]) -> tuple[str, DataFrame]:
    """A name that only differs by case from exactly one field is taken for it."""
    paths = {path for table in tables.values() for path in table.fields}
    for _ in range(_NAMES_TRIED_MAX):
        try:
            return sql, read_only(session, sql)
        except Exception as error:
            word = (messages.unknown_field(error) or "").rpartition(".")[2]
            name = unique_match(word, paths)
            if name is None or (sql := quote_word(before := sql, word, name)) == before:
                raise
    raise ValueError("too many names that differ by case only")
