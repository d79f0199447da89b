"""Answers kept: of queries that read nothing but fragments, which never change.

The key says all that an answer follows from: the text and the plan of the query, the types of the fields it reads, which fragments are
left of each table, which deletes hide rows of them, and the window where it cuts a fragment. What is not in it - events that come, other
deletes, merges of other fragments - cannot change the answer; what is in it makes a new key, and the old answer falls out in its time.
"""

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pulka.model.rules import Removal
from pulka.model.windows import TimeRange
from pulka.query.binding import Prepared
from pulka.query.schema import LogicalTable
from pulka.query.source import Source

__all__ = ["Answer", "Answers", "Kept", "key_of"]

_VOLATILE = re.compile(r"\b(?:now|today|current_timestamp|current_date|current_time|localtime|localtimestamp|rand|random|uuid|gen_random_uuid)\b", re.I)
_SHARE = 8
"""One answer takes at most this part of the room."""


@dataclass(slots=True)
class Answer:
    """The batches of an answer."""

    schema: pa.Schema
    batches: list[pa.RecordBatch] = field(default_factory=list)
    truncated: bool = False

    async def replay(self) -> AsyncIterator[pa.RecordBatch]:
        """Its batches once more."""
        for batch in self.batches:
            yield batch


class Kept:
    """An answer on its way to be kept, as long as it is small enough and there is room; it is closed however the query ends."""

    def __init__(self, answers: "Answers", key: Hashable, schema: pa.Schema) -> None:
        self._answers, self._key = answers, key
        self._answer = Answer(schema)
        self._bytes = 0
        self._fits = True

    def add(self, batch: pa.RecordBatch) -> None:
        """The next batch."""
        more = batch.get_total_buffer_size()
        self._fits = self._fits and self._bytes + more <= self._answers.answer_bytes_max and self._answers.claim(more)
        if self._fits:
            self._bytes += more
            self._answer.batches.append(batch)
        else:
            self.close()

    def end(self, truncated: bool) -> None:
        """It is complete."""
        if self._fits:
            answer, bytes_ = Answer(self._answer.schema, self._answer.batches, truncated), self._bytes
            self.close()
            self._answers.put(self._key, answer, bytes_)

    def close(self) -> None:
        """Forget it."""
        self._answers.give_back(self._bytes)
        self._answer, self._bytes = Answer(self._answer.schema), 0


class Answers:
    """The answers used last and those that are being made, within `bytes_max`; with 0 there are none."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Hashable, tuple[Answer, int]] = OrderedDict()
        self._claimed_bytes = 0
        self.bytes = 0
        self.hits = 0

    @property
    def answer_bytes_max(self) -> int:
        """The largest answer that is kept."""
        return self._bytes_max // _SHARE

    def get(self, key: Hashable) -> Answer | None:
        """The answer under `key`, if it is there."""
        if (found := self._kept.get(key)) is None:
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return found[0]

    def put(self, key: Hashable, answer: Answer, bytes_: int) -> None:
        """Keep an answer, and forget those used longest ago where it needs their room. An empty one takes a little too."""
        if self._bytes_max == 0:
            return
        self._forget(key)
        bytes_ += _key_bytes(key)
        self._kept[key] = answer, bytes_
        self.bytes += bytes_
        self._make_room()

    def claim(self, bytes_: int) -> bool:
        """Room for a part of an answer that is being made, if others that are made leave any."""
        if self._claimed_bytes + bytes_ > self._bytes_max:
            return False
        self._claimed_bytes += bytes_
        self._make_room()
        return True

    def give_back(self, bytes_: int) -> None:
        """Room that was claimed."""
        self._claimed_bytes -= bytes_

    def _make_room(self) -> None:
        while self.bytes and self.bytes + self._claimed_bytes > self._bytes_max:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self.bytes -= old[1]


def key_of(tenant: str, prepared: Prepared, sources: Sequence[Source], rows: int) -> Hashable | None:
    """What the answer of at most `rows` rows follows from; None when that is more than fragments."""
    if _VOLATILE.search(prepared.sql) or not sources:
        return None
    read = [_read(source) for source in sources]
    if any(one is None for one in read):
        return None
    return tenant, prepared.sql, prepared.digest, rows, str(prepared.schema), _types(prepared.tables, sources), tuple(read)


def _types(tables: Mapping[str, LogicalTable], sources: Sequence[Source]) -> tuple[tuple[str, str, str], ...]:
    return tuple((one.use.table.name, path, one.use.table.fields[path].type) for one in sources for path in sorted(one.use.columns))


def _read(source: Source) -> Hashable | None:
    """What is read of one table. Expiry moves with the clock, so answers over what is about to expire are not kept."""
    if source.fresh:
        return None
    hidden: list[tuple[Removal, ...]] = [source.hidden.in_fragment(one) for one in source.fragments]
    if any(removal in source.hidden.expiry for removals in hidden for removal in removals):
        return None
    members = tuple((one.id, removals) for one, removals in sorted(zip(source.fragments, hidden, strict=True), key=lambda pair: pair[0].id))
    return source.use.table.name, members, _cuts(source)


def _cuts(source: Source) -> TimeRange:
    """The window, without a side that cuts no fragment: `the last hour` means the same rows for a while."""
    start, end = source.window.start_ns, source.window.end_ns
    if start is not None and all(one.min_ns >= start for one in source.fragments):
        start = None
    if end is not None and all(one.max_ns < end for one in source.fragments):
        end = None
    return TimeRange(start, end)


def _key_bytes(key: Hashable) -> int:
    """About what a key takes: its fragments, and the text of the query."""
    assert isinstance(key, tuple)
    return 512 + 2 * len(key[1]) + 300 * sum(len(members) for _, members, _ in key[-1])
