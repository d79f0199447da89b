"""The rules in the catalog's database: retention policies, deletes and holds, and what they demand of a publication."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, or_, select, text, update

from pulka.errors import Conflict
from pulka.model.rules import Condition, Delete, Hold, Retention, Rules
from pulka.model.windows import TimeRange
from pulka.seams import Amendment, Fragment, Publication
from pulka.store import schema

__all__ = ["amend", "check_removal", "marked", "pending_deletes", "read_retention", "read_rules", "set_marks"]

_LOCK_ID = 0x72756C6573  # "rules"
_fragments, _deletes, _positions, _retention = schema.fragments.c, schema.deletes.c, schema.positions.c, schema.retention.c

# Built once, like those of `catalog.py`: every query asks them.
_PENDING = (
    select(schema.deletes)
    .where(_deletes.tenant == bindparam("tenant"), _deletes.table_name == bindparam("table"), _deletes.done_ns.is_(None))
    .order_by(_deletes.number)
)
_RETENTION = select(schema.retention).order_by(_retention.tenant, _retention.table_name, _retention.created_ns, _retention.id)
_RETENTION_OF = _RETENTION.where(_retention.tenant == bindparam("of"))


def read_rules(connection: Connection, tenant: str | None, done: bool) -> Rules:
    """The rules of a tenant, or of all; pending deletes with their progress, done ones when asked for."""
    holds = connection.execute(_of(schema.holds, tenant).order_by(schema.holds.c.created_ns, schema.holds.c.id))
    wanted = _of(schema.deletes, tenant) if done else _of(schema.deletes, tenant).where(_deletes.done_ns.is_(None))
    deletes = [_delete(row) for row in connection.execute(wanted.order_by(_deletes.created_ns, _deletes.number))]
    return Rules(
        read_retention(connection, tenant),
        tuple(one if one.done_ns is not None else _with_progress(connection, one) for one in deletes),
        tuple(Hold(r.id, r.tenant, r.table_name, TimeRange(r.start_ns, r.end_ns), r.reason, r.created_ns, r.created_by) for r in holds),
    )


def read_retention(connection: Connection, tenant: str | None) -> tuple[Retention, ...]:
    """The retention policies of a tenant, or of all."""
    rows = connection.execute(_RETENTION) if tenant is None else connection.execute(_RETENTION_OF, {"of": tenant})
    return tuple(
        Retention(r.id, r.tenant, r.table_name, r.keep_s, _condition(r.condition), r.created_ns, r.created_by) for r in rows
    )


def pending_deletes(connection: Connection, tenant: str, table: str) -> tuple[Delete, ...]:
    """Deletes of a table that are not done, by number."""
    return tuple(_delete(row) for row in connection.execute(_PENDING, {"tenant": tenant, "table": table}))


def _of(table: Any, tenant: str | None) -> Any:
    return select(table) if tenant is None else select(table).where(table.c.tenant == tenant)


def _with_progress(connection: Connection, wanted: Delete) -> Delete:
    """Retired fragments count too: their objects still hold the rows."""
    left = and_(
        _fragments.tenant == wanted.tenant, _fragments.table_name == wanted.table, _fragments.deleted_upto < wanted.number,
        *overlap(wanted.window.start_ns, wanted.window.end_ns),
    )  # fmt: skip
    here = and_(_positions.tenant == wanted.tenant, _positions.table_name == wanted.table)
    reached = {row.partition: row.sequence for row in connection.execute(select(_positions.partition, _positions.sequence).where(here))}
    published = all(reached.get(partition, 0) >= sequence for partition, sequence in wanted.positions.items())
    count = connection.execute(select(func.count()).where(left)).scalar_one()
    return replace(wanted, fragments_left=count, is_published=published)


def overlap(start_ns: Any, end_ns: Any) -> Iterable[Any]:
    """`TimeRange.overlaps` in SQL, for fragments; None is no end."""
    if start_ns is not None:
        yield _fragments.max_ns >= start_ns
    if end_ns is not None:
        yield _fragments.min_ns < end_ns


def amend(connection: Connection, change: Amendment, now_ns: int) -> None:
    """Apply a change of the rules."""
    lock(connection)
    for table in (schema.retention, schema.holds):
        for wanted in change.remove:
            connection.execute(delete(table).where(table.c.id == wanted))
    for wanted in change.finish:
        done = {"done_ns": now_ns, "condition": None}
        connection.execute(update(schema.deletes).where(_deletes.id == wanted, _deletes.done_ns.is_(None)).values(**done))
    for rule in change.put:
        _put(rule, connection)


def lock(connection: Connection) -> None:
    """One at a time: changes of rules, and publications that remove rows. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})


@singledispatch
def _put(rule: Any, connection: Connection) -> None:
    raise TypeError(type(rule))


@_put.register
def _put_retention(rule: Retention, connection: Connection) -> None:
    at, condition = schema.retention.c, _text(rule.condition)
    same = at.condition.is_(None) if condition is None else at.condition == condition
    connection.execute(delete(schema.retention).where(at.tenant == rule.tenant, at.table_name == rule.table, same))
    connection.execute(insert(schema.retention).values(**_columns(rule), keep_s=rule.keep_s, condition=condition))


@_put.register
def _put_hold(rule: Hold, connection: Connection) -> None:
    connection.execute(insert(schema.holds).values(**_columns(rule), **_ends(rule.window), reason=rule.reason))


@_put.register
def _put_delete(rule: Delete, connection: Connection) -> None:
    """Give it its number. No row from behind its positions may be published: fragments could not tell those from the others."""
    for partition, sequence in sorted(rule.positions.items()):
        if _locked_position(connection, partition, rule.tenant, rule.table) > sequence:
            raise Conflict("events behind the positions of a delete are published already", hint="take new positions")
    for other in pending_deletes(connection, rule.tenant, rule.table):
        if any(other.positions.get(partition, 0) > sequence for partition, sequence in rule.positions.items()):
            raise Conflict("a later delete came first", hint="take new positions")
    of_table = and_(_deletes.tenant == rule.tenant, _deletes.table_name == rule.table)
    last = connection.execute(select(func.max(_deletes.number)).where(of_table)).scalar() or 0
    positions = msgspec.json.encode(sorted(rule.positions.items())).decode()
    connection.execute(
        insert(schema.deletes).values(
            **_columns(rule), **_ends(rule.window), number=last + 1, condition=_text(rule.condition), condition_hash=rule.condition_hash,
            positions=positions, rows_matched=rule.rows_matched, rows_removed=0,
        )
    )  # fmt: skip


def _locked_position(connection: Connection, partition: int, tenant: str, table: str) -> int:
    """The published position, which cannot move before this transaction ends; a row of its own when there is none."""
    here = and_(_positions.partition == partition, _positions.tenant == tenant, _positions.table_name == table)
    find = select(_positions.sequence).where(here).with_for_update()
    found = connection.execute(find).scalar()
    if found is None:
        connection.execute(insert(schema.positions).values(partition=partition, tenant=tenant, table_name=table, sequence=0))
    return int(found or 0)


def marked(connection: Connection, change: Publication) -> Sequence[Fragment]:
    """The new fragments; those of a flush, whose rows all lie behind its positions, with the deletes that do not concern them.

    The positions were moved before, so no delete can come in between.
    """
    starts: dict[tuple[str, str], dict[int, int]] = {}
    for (partition, tenant, table), (start, _) in change.positions.items():
        starts.setdefault((tenant, table), {})[partition] = start
    upto = {owner: _deletes_before(pending_deletes(connection, *owner), reached) for owner, reached in starts.items()}
    return [replace(f, deleted_upto=max(f.deleted_upto, upto.get((f.tenant, f.table), 0))) for f in change.add]


def _deletes_before(deletes: Iterable[Delete], starts: Mapping[int, int]) -> int:
    """The last of the leading deletes whose rows all lie at or before `starts`."""
    number = 0
    for one in deletes:
        if any(one.positions.get(partition, 0) > start for partition, start in starts.items()):
            break
        number = one.number
    return number


def check_removal(connection: Connection, change: Publication) -> None:
    """Before fragments are retired: rows that go must not be held, rows that stay must keep the deletes that concern them."""
    if change.removed:
        lock(connection)
    retired = _retiring(connection, change.retire)
    for tenant, table in {(row.tenant, row.table_name) for row in retired}:
        rows = [row for row in retired if (row.tenant, row.table_name) == (tenant, table)]
        if change.removed:
            _check_holds(connection, tenant, table, rows)
        if change.add:
            _check_deletes(pending_deletes(connection, tenant, table), rows, change)


def _retiring(connection: Connection, ids: Sequence[str]) -> list[Row[Any]]:
    columns = (_fragments.tenant, _fragments.table_name, _fragments.min_ns, _fragments.max_ns, _fragments.deleted_upto)
    found: list[Row[Any]] = []
    for start in range(0, len(ids), 500):
        found += connection.execute(select(*columns).where(_fragments.id.in_(ids[start : start + 500])))
    return found


def _check_holds(connection: Connection, tenant: str, table: str, rows: Sequence[Row[Any]]) -> None:
    at = schema.holds.c
    first_ns, last_ns = min(row.min_ns for row in rows), max(row.max_ns for row in rows)
    held = and_(
        at.tenant == tenant, at.table_name == table,
        or_(at.start_ns.is_(None), at.start_ns <= last_ns), or_(at.end_ns.is_(None), at.end_ns > first_ns),
    )  # fmt: skip
    windows = [TimeRange(row.start_ns, row.end_ns) for row in connection.execute(select(at.start_ns, at.end_ns).where(held))]
    if any(window.overlaps(row.min_ns, row.max_ns) for window in windows for row in rows):
        raise Conflict("rows to remove are held", hint="release the hold first: `pulka store hold ls`")


def _check_deletes(deletes: Iterable[Delete], rows: Sequence[Row[Any]], change: Publication) -> None:
    first_ns, last_ns = min(row.min_ns for row in rows), max(row.max_ns for row in rows)
    marks = {row.deleted_upto for row in rows} | {fragment.deleted_upto for fragment in change.add}
    for one in deletes:
        if one.id in change.removed or not one.window.overlaps(first_ns, last_ns):
            continue
        if len({one.number > mark for mark in marks}) > 1:
            raise Conflict("fragments with and without rows of a pending delete cannot become one", hint="plan again from the catalog")


def set_marks(connection: Connection, change: Publication) -> None:
    """Write the marks of live fragments, and how many rows deletes have removed."""
    for fragment in change.mark:
        live = and_(_fragments.id == fragment.id, _fragments.retired_ns.is_(None))
        marks = {"deleted_upto": fragment.deleted_upto, "swept": fragment.swept}
        if connection.execute(update(schema.fragments).where(live).values(**marks)).rowcount != 1:
            raise Conflict("a fragment to mark is retired already", hint="plan again from the catalog")
    for wanted, rows in change.removed.items():
        connection.execute(update(schema.deletes).where(_deletes.id == wanted).values(rows_removed=_deletes.rows_removed + rows))


def _columns(rule: Retention | Delete | Hold) -> dict[str, Any]:
    return {
        "id": rule.id, "tenant": rule.tenant, "table_name": rule.table, "created_ns": rule.created_ns, "created_by": rule.created_by,
    }  # fmt: skip


def _ends(window: TimeRange) -> dict[str, Any]:
    return {"start_ns": window.start_ns, "end_ns": window.end_ns}


def _delete(row: Row[Any]) -> Delete:
    positions = dict(msgspec.json.decode(row.positions))
    return Delete(
        row.id, row.tenant, row.table_name, _condition(row.condition), row.condition_hash, TimeRange(row.start_ns, row.end_ns), positions,
        row.number, row.created_ns, row.created_by, row.rows_matched, row.rows_removed, row.done_ns,
    )  # fmt: skip


def _text(condition: Condition | None) -> str | None:
    return None if condition is None else msgspec.json.encode((condition.sql, condition.fields)).decode()


def _condition(text: str | None) -> Condition | None:
    if text is None:
        return None
    sql, fields = msgspec.json.decode(text)
    return Condition(sql, tuple((path, kind) for path, kind in fields))
