"""Physical rows with a flag per condition: what a pass over all fields reads.

Fields stay in the columns they are stored in, and sparse ones in the residual: a column of its own for each of thousands of fields
would cost more than reading them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from datafusion import DataFrame, Expr, col

from pulka.errors import BadQuery
from pulka.model.fields import RESIDUAL, Column
from pulka.query.names import identifiers, quote
from pulka.query.removal import under_own_names
from pulka.query.schema import LogicalTable
from pulka.query.shapes import Shape, values
from pulka.seams import Scanned

__all__ = ["Flagged", "Scanned", "flagged", "marked", "pieces"]

_MARK = re.compile(r"/\*\x1f\*/")


def marked(table: str, conditions: Sequence[str]) -> str:
    """A query that reads the rows of any of the conditions; `pieces` finds the conditions again once names are resolved."""
    either = "\n) OR (".join(f"/*\x1f*/{one}\n/*\x1f*/" for one in conditions)
    return f"SELECT 1 FROM {quote(table)} WHERE ({either})"  # noqa: S608 - the reader's own condition, read-only


def pieces(sql: str) -> list[str]:
    """The conditions of `marked`."""
    return _MARK.split(sql)[1::2]


@dataclass(frozen=True, slots=True)
class Flagged:
    """A scan of one shape, with flags."""

    frame: DataFrame
    columns: tuple[Column, ...]
    flags: tuple[str, ...]
    residual: str | None

    def scanned(self, batch: pa.RecordBatch) -> Scanned:
        """One batch of it."""
        return Scanned(batch, self.columns, self.flags, self.residual)


def flagged(scan: DataFrame, shape: Shape, table: LogicalTable, conditions: Sequence[str]) -> Flagged:
    """The rows of a scan of which any condition is true."""
    frame, own = under_own_names(scan, shape)
    names = own.schema().names
    quoted, words = identifiers(" ".join(conditions))
    used = [field for path, field in table.fields.items() if path in quoted or path in words]
    typed = frame.select(*map(_column, names), *values(own, used))
    flags = tuple(f"\x1f{number}" for number in range(len(conditions)))
    decided = [_decided(typed, sql).alias(flag) for sql, flag in zip(conditions, flags, strict=True)]
    chosen = typed.select(*map(_column, names), *decided).filter(reduce(Expr.__or__, map(_column, flags)))
    return Flagged(chosen, tuple(own.columns), flags, RESIDUAL if own.residual else None)


def _decided(frame: DataFrame, sql: str) -> Expr:
    try:
        return frame.parse_sql_expr(f"({sql}\n) IS TRUE")
    except Exception as error:
        if "subquery" in str(error).lower():
            raise BadQuery("this condition is about the fields of one row; it cannot ask a query", hint="ask first, then list the values") from error
        raise


def _column(name: str) -> Expr:
    return col(quote(name))
