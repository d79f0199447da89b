"""The five seams. Read this first: everything else in Pulka stands behind one of these protocols.

Data crosses them as Arrow, in the layout of `docs/design/event-batch.md`. I/O is async. `pulka.app` is the only room
that names implementations; `pulka.testing` has public fakes and the contract suite of each seam.
"""

import random  # noqa: TID251 - the type only
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from obstore.store import (
    ObjectStore,  # put (with if-absent), ranged get, list, delete: local disk, S3, GCS, Azure, memory
)

from pulka.model.fields import Column, FieldType
from pulka.model.rules import Delete, Hold, Removal, Retention, Rules
from pulka.model.windows import TimeRange

__all__ = [
    "Amendment", "Catalog", "Clock", "ColumnStats", "Columns", "DedupKey", "Document", "Documents", "Edit", "Engine", "Fragment", "FragmentFiles", "Fresh", "Journal", "Lease",
    "Limits", "Matching", "ObjectStore", "Position", "Publication", "QueryStats", "Record", "Result", "Snapshot", "TableInfo", "Usage",
]  # fmt: skip


class Clock(Protocol):
    """Time and entropy. Nothing else in the tree reads either."""

    random: random.Random

    def now_ns(self) -> int: ...
    def monotonic_s(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in one journal partition; sequences begin at 1 and grow by one per record."""

    partition: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Record:
    """One acknowledged batch. `dedup_key` is the client's, or a digest of the body; `ack` is what the first attempt answered."""

    position: Position
    tenant: str
    table: str
    batch: pa.RecordBatch
    dedup_key: str | None = None
    arrival_ns: int = 0
    ack: bytes = b""


class Journal(Protocol):
    """The durable log of acknowledged batches: ordered per partition, at-least-once to readers."""

    partitions: int

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, *, dedup_key: str | None = None, ack: bytes = b""
    ) -> Position:
        """Store a batch; durable when this returns. Temporary when there is no room: nothing was kept, send again."""
        ...

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records with sequence > `after`, in order; empty at the end."""
        ...

    async def wait(self, partition: int, after: int) -> None:
        """Return once `read(partition, after, 1)` would not be empty."""
        ...

    async def release(self, partition: int, upto: int) -> None:
        """Records with sequence <= `upto` are in published fragments and may be forgotten."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """What pruning may know of one physical column of a fragment. min and max are None when unknown (or all null).

    Of text columns also: `values` is all of them when they are few; `automaton` takes all of them and few others (packed, see
    crates/pulka-core/src/fragment/packed_automaton.rs); `words` is a filter of their words (word_filter.rs). Empty: not known.
    """

    column: Column
    nulls: int
    min: Any = None
    max: Any = None
    values: tuple[str, ...] | None = None
    automaton: bytes = b""
    words: bytes = b""


class Columns(tuple[ColumnStats, ...]):
    """Statistics of the columns of one fragment, found by the path of their field."""

    @cached_property
    def by_path(self) -> Mapping[str, tuple[ColumnStats, ...]]:
        """The physical columns of each field."""
        found: dict[str, tuple[ColumnStats, ...]] = {}
        for stats in self:
            found[stats.column.path] = (*found.get(stats.column.path, ()), stats)
        return found


@dataclass(frozen=True, slots=True)
class Fragment:
    """One immutable Parquet object. `residual` maps the path of each field in the residual to the types seen there.

    Two marks are the catalog's own and may grow: deletes up to number `deleted_upto` do not concern it any more, and the
    retention rules that `swept` names (`model.rules.digest`) have been applied to all of it.
    """

    id: str
    tenant: str
    table: str
    key: str
    window_start_ns: int
    window_ns: int
    min_ns: int
    max_ns: int
    rows: int
    bytes: int
    raw_bytes: int
    level: int
    created_ns: int
    columns: tuple[ColumnStats, ...]
    residual: Mapping[str, frozenset[FieldType]] = field(default_factory=dict)
    deleted_upto: int = 0
    swept: str = ""

    def __post_init__(self) -> None:
        """Statistics that come from a cache bring their index along."""
        if not isinstance(self.columns, Columns):
            object.__setattr__(self, "columns", Columns(self.columns))

    def columns_of(self, path: str) -> tuple[ColumnStats, ...]:
        """Statistics of the physical columns of a field."""
        assert isinstance(self.columns, Columns)
        return self.columns.by_path.get(path, ())


@dataclass(frozen=True, slots=True)
class DedupKey:
    """A key of an acknowledged batch, kept in the catalog until `expires_ns`; `ack` answers a retry."""

    tenant: str
    table: str
    key: str
    expires_ns: int
    ack: bytes = b""


@dataclass(frozen=True, slots=True)
class Publication:
    """One atomic change of the catalog: fragments in, fragments out, journal positions forward, dedup keys.

    `positions` maps (partition, tenant, table) to (expected, new) sequence: a publication whose expectation no longer
    holds raises Conflict and changes nothing, as does one that retires a fragment that is gone already.

    `removed` counts rows that are in `retire` and not in `add`, by the id of their delete, "" for retention; held rows make
    it a Conflict. A publication that removes nothing must not mix fragments that a pending delete concerns with others.
    `mark` sets the marks of live fragments and changes nothing else of them.
    """

    add: tuple[Fragment, ...] = ()
    retire: tuple[str, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    mark: tuple[Fragment, ...] = ()
    positions: Mapping[tuple[int, str, str], tuple[int, int]] = field(default_factory=dict)
    dedup: tuple[DedupKey, ...] = ()


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table of a tenant: every field ever published, with the types it was seen with, and what is stored."""

    name: str
    fields: Mapping[str, frozenset[FieldType]]
    fragments: int = 0
    rows: int = 0
    bytes: int = 0
    raw_bytes: int = 0
    min_ns: int | None = None
    max_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one table of a tenant takes in the object store. Retired objects await their deletion."""

    tenant: str
    table: str
    fragments: int
    rows: int
    bytes: int
    raw_bytes: int
    retired_fragments: int
    retired_bytes: int


@dataclass(frozen=True, slots=True)
class Amendment:
    """One atomic change of the rules: policies, deletes and holds in (a policy for the same rows is replaced), policies and
    holds out by id, deletes finished by id."""

    put: tuple[Retention | Delete | Hold, ...] = ()
    remove: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent view: the fragments of one table, how far each journal partition is contained in them, and what of the
    table is deleted (pending deletes) or expires (the tenant's policies)."""

    fragments: tuple[Fragment, ...]
    positions: Mapping[int, int]
    pruned_by_time: int = 0
    deletes: tuple[Delete, ...] = ()
    retention: tuple[Retention, ...] = ()


class Catalog(Protocol):
    """The only truth about which fragments exist. Every read is a snapshot, every write one transaction."""

    async def publish(self, change: Publication) -> None: ...
    async def snapshot(self, tenant: str, table: str, window: TimeRange) -> Snapshot: ...
    async def tables(self, tenant: str) -> Mapping[str, TableInfo]: ...
    async def tenants(self) -> Sequence[str]: ...
    async def positions(self, partition: int) -> Mapping[tuple[str, str], int]: ...
    async def dedup(self, since_ns: int) -> Sequence[DedupKey]: ...
    async def fragments(self, tenant: str | None = None, table: str | None = None) -> Sequence[Fragment]: ...
    async def retired(self, before_ns: int) -> Sequence[str]:
        """Object keys of fragments retired before `before_ns` whose objects may be deleted."""
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """The objects under these retired keys are gone."""
        ...

    async def usage(self, tenant: str | None = None) -> Sequence[Usage]: ...
    async def rules(self, tenant: str | None = None, *, done: bool = True) -> Rules:
        """Without `done`, only those deletes that are pending."""
        ...

    async def amend(self, change: Amendment) -> None:
        """Conflict when rows behind the positions of a new delete are published already: take new positions."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Document:
    """A small named value of a tenant that a part of Pulka keeps in the catalog under its `kind`: JSON, opaque to the catalog."""

    kind: str
    tenant: str
    name: str
    version: int
    body: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A document in, or out with `body` None, provided that it is at version `expected`, which the catalog counts from 1; 0: there is none."""

    kind: str
    tenant: str
    name: str
    expected: int
    body: str | None


class Documents(Protocol):
    """The part of the catalog that keeps definitions and small states, by compare-and-set."""

    async def documents(self, kind: str, tenant: str | None = None, name: str | None = None) -> Sequence[Document]:
        """Those of a kind, of one tenant or name when given, sorted by tenant and name."""
        ...

    async def edit(self, edits: Sequence[Edit]) -> None:
        """All of the edits in one transaction; Conflict, and nothing changed, when one of them is not at its version."""
        ...


class Matching(Protocol):
    """The query side of a rewrite: which rows of a fragment, whose file is at `path`, each removal takes; in row order, no nulls."""

    async def __call__(self, fragment: Fragment, path: Path, removals: Sequence[Removal]) -> Sequence[pa.BooleanArray]: ...


class Fresh(Protocol):
    """Acknowledged batches that may not be in a fragment yet; the writer's buffer."""

    def fresh(self, tenant: str, table: str) -> Sequence[tuple[Position, pa.RecordBatch]]: ...
    def fresh_fields(self, tenant: str) -> Mapping[str, Mapping[str, frozenset[FieldType]]]:
        """Per table of the tenant, the fields of batches not yet published."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """Local files of fragments, by fragment id. They stay until `release(doubt)`, which is called once.

    With `doubt` they were found unreadable: where they are copies, they are fetched anew next time.
    """

    paths: Mapping[str, Path]
    release: Callable[[bool], None] = lambda doubt: None


class FragmentFiles(Protocol):
    """Where queries and merges read fragments, wherever the objects are."""

    async def lease(self, fragments: Sequence[Fragment]) -> Lease:
        """All of the fragments as local files. Temporary when the object store does not answer, LimitExceeded when they have no room."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one query. None means the server's own setting."""

    memory_bytes: int | None = None
    time_s: float | None = None
    rows: int | None = None


@dataclass(slots=True)
class QueryStats:
    """The trailer of a result. `sql` is what a search syntax was translated to; row groups and rows found are those of a search scan
    before the query, which only selective filters get. `id` names the query while it runs; `cached`: the answer was at hand, nothing was read.
    """

    id: str = ""
    cached: bool = False
    rows: int = 0
    truncated: bool = False
    fragments_total: int = 0
    fragments_pruned: dict[str, int] = field(default_factory=dict)
    fragments_scanned: int = 0
    fresh_rows: int = 0
    row_groups_total: int = 0
    row_groups_pruned: dict[str, int] = field(default_factory=dict)
    rows_found: int = 0
    bytes_scanned: int = 0
    time_ms: dict[str, float] = field(default_factory=dict)
    sql: str = ""


@dataclass(slots=True)
class Result:
    """A result in flight: its schema, a stream of batches, and statistics that are complete when the stream ends."""

    schema: pa.Schema
    batches: AsyncIterator[pa.RecordBatch]
    stats: QueryStats


@dataclass(frozen=True, slots=True)
class Scanned:
    """Rows as they are stored: a batch, what its columns are, the name of its residual, and a boolean column per condition."""

    batch: pa.RecordBatch
    columns: tuple[Column, ...]
    flags: tuple[str, ...]
    residual: str | None


class Engine(Protocol):
    """SQL over one tenant's tables, fragments and fresh batches together. Read-only."""

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> Result:
        """Under `query_id` the query can be looked at and cancelled while it runs; without one it gets one."""
        ...

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]: ...
    def scan(
        self, table: str, conditions: Sequence[str], tenant: str, window: TimeRange, limits: Limits, stats: QueryStats
    ) -> AsyncGenerator[Scanned, None]:
        """All fields of the rows of which any condition is true; the window does not cut what pruning lets through, conditions do."""
        ...
