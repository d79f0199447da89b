"""Documents in the catalog's database: definitions and small states of other parts, changed by compare-and-set."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pulka.errors import Conflict
from pulka.seams import Document, Edit
from pulka.store import schema

__all__ = ["edit", "read"]

_at = schema.documents.c


def read(connection: Connection, kind: str, tenant: str | None, name: str | None) -> list[Document]:
    """The documents of a kind, sorted by tenant and name."""
    chosen = select(schema.documents).where(_at.kind == kind).order_by(_at.tenant, _at.name)
    if tenant is not None:
        chosen = chosen.where(_at.tenant == tenant)
    if name is not None:
        chosen = chosen.where(_at.name == name)
    return [Document(row.kind, row.tenant, row.name, row.version, row.body) for row in connection.execute(chosen)]


def edit(connection: Connection, edits: Sequence[Edit]) -> None:
    """Apply all; Conflict when one is not at its version. Sorted, so that no two transactions wait for each other."""
    for one in sorted(edits, key=lambda one: (one.kind, one.tenant, one.name)):
        if _apply(connection, one) != 1:
            raise Conflict(f"`{one.name}` was changed meanwhile", hint="read it again and repeat the change")


def _apply(connection: Connection, one: Edit) -> int:
    """How many rows were changed."""
    here = and_(_at.kind == one.kind, _at.tenant == one.tenant, _at.name == one.name, _at.version == one.expected)
    if one.body is None:
        return connection.execute(delete(schema.documents).where(here)).rowcount
    if one.expected:
        return connection.execute(update(schema.documents).where(here).values(version=one.expected + 1, body=one.body)).rowcount
    row = {"kind": one.kind, "tenant": one.tenant, "name": one.name, "version": 1, "body": one.body}
    return connection.execute(_insert_if_absent(connection), row).rowcount


def _insert_if_absent(connection: Connection) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(schema.documents).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
