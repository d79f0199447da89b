"""Documents in memory."""

from collections.abc import Sequence

from pulka.errors import Conflict
from pulka.seams import Document, Edit

__all__ = ["MemoryDocuments"]


class MemoryDocuments:
    """`pulka.seams.Documents` in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], Document] = {}

    async def documents(self, kind: str, tenant: str | None = None, name: str | None = None) -> Sequence[Document]:
        """Those of a kind, sorted by tenant and name."""
        found = [one for one in self._kept.values() if one.kind == kind and tenant in (None, one.tenant) and name in (None, one.name)]
        return sorted(found, key=lambda one: (one.tenant, one.name))

    async def edit(self, edits: Sequence[Edit]) -> None:
        """All of the edits, or Conflict and none."""
        for one in edits:
            known = self._kept.get((one.kind, one.tenant, one.name))
            if (known.version if known else 0) != one.expected or (one.body is None and known is None):
                raise Conflict(f"`{one.name}` was changed meanwhile")
        for one in edits:
            key = (one.kind, one.tenant, one.name)
            if one.body is None:
                del self._kept[key]
            else:
                self._kept[key] = Document(*key, one.expected + 1, one.body)
