"""What must hold of the catalog and the bucket at any moment, whoever looks."""

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from tests.sim.ledger import Ledger, Violation

from pulka import _native
from pulka.model.fields import RESIDUAL, columns_of
from pulka.seams import Fragment
from pulka.testing.bucket import Bucket


class Audit:
    """Remembers what it saw: fragments never change, and rows once published stay."""

    def __init__(self, bucket: Bucket, ledger: Ledger) -> None:
        self._bucket = bucket
        self._ledger = ledger
        self._digests: dict[str, str] = {}
        self._rows: dict[str, tuple[tuple[int, str, str], ...]] = {}
        self._published: dict[tuple[str, str], set[int]] = {}

    def repaired(self) -> None:
        """The catalog is another one. What was published and released stays; what only the catalog knew may be fresh again."""
        self._published.clear()

    def rows(self, fragment: Fragment) -> Sequence[tuple[int, str, str]]:
        """The rows of a fragment, read once."""
        if fragment.id not in self._rows:
            self._rows[fragment.id] = tuple(_read(self._bucket, fragment))
        return self._rows[fragment.id]

    def read_again(self, fragment: Fragment) -> Sequence[tuple[int, str, str]]:
        """The rows of a fragment as its object is now."""
        self._check_object(fragment)
        return self.rows(fragment)

    def check(self, live: Iterable[Fragment], *, complete: bool = False) -> None:
        """Invariants 3, 6 and 7 of the live fragments; `complete`: and nothing acknowledged is elsewhere."""
        by_table: dict[tuple[str, str], list[Fragment]] = {table: [] for table in self._ledger.tables()}
        for fragment in live:
            self._check_object(fragment)
            by_table[fragment.tenant, fragment.table].append(fragment)
        for (tenant, table), fragments in by_table.items():
            rows = [row for fragment in fragments for row in self.rows(fragment)]
            numbers = self._ledger.check_rows(tenant, table, rows, "the live fragments")
            self._check_kept((tenant, table), numbers)
            if complete:
                self._check_complete(tenant, table, numbers)

    def _check_object(self, fragment: Fragment) -> None:
        digest = self._bucket.digest(fragment.key)
        if digest is None:
            raise Violation(f"{fragment.key} is in the catalog and does not exist")
        if digest != self._digests.setdefault(fragment.id, digest):
            raise Violation(f"{fragment.key} changed after it was published")
        if fragment.rows != len(self.rows(fragment)):
            raise Violation(f"{fragment.key} has {len(self.rows(fragment))} rows, the catalog says {fragment.rows}")

    def _check_kept(self, table: tuple[str, str], numbers: set[int]) -> None:
        gone = self._published.setdefault(table, set()) - numbers
        if gone:
            raise Violation(f"rows {sorted(gone)[:5]} of {'/'.join(table)} were in fragments and are not any more")
        self._published[table] = numbers

    def _check_complete(self, tenant: str, table: str, numbers: set[int]) -> None:
        for batch in self._ledger.of(tenant, table):
            missing = [row.n for row in batch.rows if row.n not in numbers]
            if missing and (batch.acked_s is not None or batch.seen_s is not None or len(missing) < len(batch.rows)):
                raise Violation(f"{batch}: rows {missing[:5]} are in no fragment at the end")


def _read(bucket: Bucket, fragment: Fragment) -> Iterable[tuple[int, str, str]]:
    """Rows in a fragment, after the core has proved its checksum, sort order and statistics (which is what pruning trusts)."""
    path = bucket.path(fragment.key)
    try:
        _native.inspect_fragment(str(path), True)
    except ValueError as error:
        raise Violation(f"{fragment.key} was published and is broken: {error}") from error
    return shown(pq.ParquetFile(path).read())


def shown(rows: pa.Table | pa.RecordBatch) -> Iterable[tuple[int, str, str]]:
    """What `Row.shown` gives, from the physical columns."""
    values = [column.name for column in columns_of(rows.schema) if column.path == "value"]
    present = [name for name in ("n", "service", RESIDUAL, *values) if name in rows.schema.names]
    for row in rows.select(present).to_pylist():
        cells = [row[name] for name in values if row[name] is not None]
        yield row["n"], row["service"], str(cells[0] if cells else json.loads(row[RESIDUAL])["value"])
