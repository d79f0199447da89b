"""What must go and what must stay: retention policies, deletes, legal holds, and the removals that follow from them.

A removal is the one form in which queries hide rows and rewrites drop them, so both always mean the same rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from pulka.model.fields import FieldType
from pulka.model.windows import TimeRange

__all__ = ["ALL_TABLES", "Condition", "Delete", "Hold", "Removal", "Retention", "Rules", "digest", "expiry", "takes_all"]

ALL_TABLES = "*"
"""As the table of a retention policy: every table of the tenant that has none of its own."""


_ALWAYS = TimeRange()


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean SQL expression over one table's fields, with the types they had when it was made.

    The types are kept because a field may be shown with a wider type later; the expression must not change its meaning.
    """

    sql: str
    fields: tuple[tuple[str, FieldType], ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of `window` for which `condition` is TRUE (None: every row) and no condition of `unless` is."""

    condition: Condition | None
    window: TimeRange = _ALWAYS
    unless: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows of a table are kept `keep_s` seconds, 0 for ever. With a condition: only the rows for which it is TRUE."""

    id: str
    tenant: str
    table: str
    keep_s: int
    condition: Condition | None = None
    created_ns: int = 0
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """A request to delete rows that existed when it was made; later ones are not touched.

    `number` counts the deletes of a table from 1; the catalog gives it. `positions` says, per journal partition, up to where
    rows that were not in a fragment yet are meant. Once done, the condition is forgotten and only its hash remains.
    `fragments_left` counts objects that may still hold such rows, `is_published` whether all such rows are in fragments.
    """

    id: str
    tenant: str
    table: str
    condition: Condition | None
    condition_hash: str
    window: TimeRange = _ALWAYS
    positions: Mapping[int, int] = field(default_factory=dict)
    number: int = 0
    created_ns: int = 0
    created_by: str = ""
    rows_matched: int | None = None
    rows_removed: int = 0
    done_ns: int | None = None
    fragments_left: int = 0
    is_published: bool = False

    @property
    def removal(self) -> Removal:
        """The rows it is about."""
        return Removal(self.condition, self.window)

    def concerns(self, deleted_upto: int, first_ns: int, last_ns: int) -> bool:
        """Whether it is still to be applied to a fragment with this mark and these times."""
        return self.done_ns is None and self.number > deleted_upto and self.window.overlaps(first_ns, last_ns)

    def concerns_record(self, partition: int, sequence: int) -> bool:
        """Whether a journal record was there when the request was made."""
        return self.done_ns is None and sequence <= self.positions.get(partition, 0)


@dataclass(frozen=True, slots=True)
class Hold:
    """While it stands, no row of the table and window is physically removed."""

    id: str
    tenant: str
    table: str
    window: TimeRange = _ALWAYS
    reason: str = ""
    created_ns: int = 0
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a tenant, or of all tenants; deletes by number, done ones included."""

    retention: tuple[Retention, ...] = ()
    deletes: tuple[Delete, ...] = ()
    holds: tuple[Hold, ...] = ()


def expiry(policies: Iterable[Retention], table: str, default_s: int, now_ns: int) -> tuple[Removal, ...]:
    """What a table's policies remove at `now_ns`.

    Of the conditions that are TRUE of a row, the one that keeps longest decides; where none is, the table's policy without
    a condition does, else that of all tables, else `default_s`.
    """
    own = [policy for policy in policies if policy.table == table and policy.condition is not None]
    kept: list[tuple[int, Condition | None]] = [(policy.keep_s, policy.condition) for policy in own]
    kept.append((_base_s(policies, table, default_s), None))
    removals: list[Removal] = []
    longer: list[Condition] = []
    for keep_s, condition in sorted(kept, key=_longest_first):
        if keep_s:
            removals.append(Removal(condition, TimeRange(None, now_ns - keep_s * 1_000_000_000), tuple(longer)))
        if condition is not None:
            longer.append(condition)
    return tuple(removals)


def _base_s(policies: Iterable[Retention], table: str, default_s: int) -> int:
    plain = {policy.table: policy.keep_s for policy in policies if policy.condition is None}
    return plain.get(table, plain.get(ALL_TABLES, default_s))


def _longest_first(kept: tuple[int, Condition | None]) -> tuple[int, int, str]:
    keep_s, condition = kept
    return (1, -keep_s, condition.sql if condition else "") if keep_s else (0, 0, condition.sql if condition else "")


def takes_all(removals: Sequence[Removal], first_ns: int, last_ns: int) -> bool:
    """Whether `removals` leave no row from `first_ns` to `last_ns`, whatever the rows say."""
    whole = [removal for removal in removals if _contains(removal.window, first_ns, last_ns)]
    removed = {removal.condition for removal in whole}
    return any(removal.condition is None and removed.issuperset(removal.unless) for removal in whole)


def digest(removals: Sequence[Removal], first_ns: int, last_ns: int) -> str:
    """A name for those removals whose window has all of `first_ns` to `last_ns`; empty when there are none.

    A fragment that bears this name needs no look at them again.
    """
    whole = [removal for removal in removals if _contains(removal.window, first_ns, last_ns)]
    return sha256(repr([(removal.condition, removal.unless) for removal in whole]).encode()).hexdigest()[:16] if whole else ""


def _contains(window: TimeRange, first_ns: int, last_ns: int) -> bool:
    starts = window.start_ns is None or window.start_ns <= first_ns
    return starts and (window.end_ns is None or last_ns < window.end_ns)
