"""Whose merge is next: tenants take turns, so that a busy one never keeps the others' files from being merged."""

import random  # noqa: TID251 - the type only
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from pulka.store.plan import Merge

__all__ = ["Turns", "in_turn"]


class Turns:
    """Round-robin by tenant. A turn ends once its merges have read `turn_bytes`."""

    def __init__(self, turn_bytes: int) -> None:
        self._turn_bytes = turn_bytes
        self._tenant = ""
        self._spent_bytes = 0

    def pick(self, merges: Sequence[Merge], entropy: random.Random, among: int = 1) -> Merge:
        """One of the first `among` merges of the tenant whose turn it is. `merges` are in order of urgency, at least one."""
        tenants = sorted({merge.first.tenant for merge in merges})
        if self._tenant not in tenants or self._spent_bytes >= self._turn_bytes:
            self._tenant = tenants[bisect_right(tenants, self._tenant) % len(tenants)]
            self._spent_bytes = 0
        own = [merge for merge in merges if merge.first.tenant == self._tenant]
        merge = own[entropy.randrange(min(among, len(own)))]
        self._spent_bytes += merge.bytes
        return merge


def in_turn(merges: Sequence[Merge], turn_bytes: int) -> Iterator[Merge]:
    """All merges in the order in which one worker does them."""
    turns, left = Turns(turn_bytes), list(merges)
    while left:
        merge = turns.pick(left, random.Random(0))  # noqa: S311 - of one there is no choice
        yield merge
        left.remove(merge)
