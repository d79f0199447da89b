"""All live tails of a lake: who reads what, and what is held for those who come back.

The newest batches of a table that is tailed are held; a position in the journal says where a reader was.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pulka.errors import BadInput, Temporary
from pulka.query.tails.filter import Filters
from pulka.query.tails.held import Held, entry_of
from pulka.query.tails.subscription import Subscription, TailSettings, TailStatus
from pulka.seams import Catalog, Clock, Fresh, Position, Record

__all__ = ["Tails"]


@dataclass(slots=True)
class _Topic:
    """One table of a tenant."""

    held: Held
    idle_since_s: float
    readers: list[Subscription] = field(default_factory=list)


class Tails:
    """All live tails of a lake. Belongs to one event loop."""

    def __init__(
        self, filters: Filters, catalog: Catalog, fresh: Fresh, clock: Clock, partition_of: Callable[[str], int], settings: TailSettings | None = None
    ) -> None:  # fmt: skip
        """`partition_of` tells the journal partition of a tenant."""
        self.settings = settings or TailSettings()
        self._status = TailStatus()
        self._filters, self._catalog, self._fresh, self._clock, self._partition_of = filters, catalog, fresh, clock, partition_of
        self._topics: dict[tuple[str, str], _Topic] = {}

    @property
    def subscribers(self) -> int:
        """Readers at this moment."""
        return sum(len(topic.readers) for topic in self._topics.values())

    @property
    def dropped_rows(self) -> int:
        """Rows that were not shown, since the start."""
        return self._status.dropped_rows

    def offer(self, record: Record) -> None:
        """A record that queries see from now on; returns at once."""
        topic = self._topics.get((record.tenant, record.table))
        if topic is None or record.position.sequence <= topic.held.newest or not record.batch.num_rows:
            return
        if self._is_over(topic):
            del self._topics[record.tenant, record.table]
            return
        entry = entry_of(record.position, record.batch)
        topic.held.add(entry)
        for reader in topic.readers:
            reader.add(entry)

    async def subscribe(
        self, tenant: str, table: str, *, where: str | None = None, search: str | None = None, after: Position | None = None, last: int = 0
    ) -> Subscription:  # fmt: skip
        """A subscription from now on; or from `after`, as far as that is still held; or from the `last` matching rows that are held.

        Temporary when the tenant has as many as it may; BadInput, NotFound or BadQuery when the filter or position cannot be used.
        """
        partition = self._partition_of(tenant)
        if after is not None and after.partition != partition:
            raise BadInput("this is no position of this tenant's journal", hint="resume with the id of the last event you got")
        chosen = await self._filters.make(tenant, table, where=where, search=search)
        topic = await self._topic(tenant, table, partition)
        self._check_room(tenant)
        start = Position(partition, topic.held.newest) if after is None else after
        made = Subscription(self._status, self.settings, topic.held, chosen, self._clock, start, 0 if after else last, lambda: self._leave(topic, made))
        topic.readers.append(made)
        return made

    def close(self) -> None:
        """End every subscription."""
        self._status.closed = True
        for topic in self._topics.values():
            for reader in topic.readers:
                reader.wake()

    async def _topic(self, tenant: str, table: str, partition: int) -> _Topic:
        for key in [key for key, topic in self._topics.items() if self._is_over(topic)]:
            del self._topics[key]
        topic = self._topics.get((tenant, table))
        if topic is None:
            held = Held(self.settings.buffer_bytes_max, self._fresh.fresh(tenant, table))
            topic = self._topics[tenant, table] = _Topic(held, self._clock.monotonic_s())
        if topic.held.low is None:
            positions = await self._catalog.positions(partition)
            topic.held.published(positions.get((tenant, table), 0))
        return topic

    def _check_room(self, tenant: str) -> None:
        if self._status.closed:
            raise Temporary("the server stops", hint="try again")
        taken = sum(len(topic.readers) for (owner, _), topic in self._topics.items() if owner == tenant)
        if taken >= self.settings.subscribers_max:
            raise Temporary(
                f"there are {taken} live tails already", hint="end one of them, or raise tail_subscribers_max", retry_after_s=5
            )  # fmt: skip

    def _leave(self, topic: _Topic, reader: Subscription) -> None:
        if reader in topic.readers:
            topic.readers.remove(reader)
            topic.idle_since_s = self._clock.monotonic_s()

    def _is_over(self, topic: _Topic) -> bool:
        """Whether nobody has read it for so long that nobody comes back."""
        return not topic.readers and self._clock.monotonic_s() - topic.idle_since_s > self.settings.held_s
