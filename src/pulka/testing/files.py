"""Fragments as the files of one directory."""

from collections.abc import Sequence
from pathlib import Path

from pulka.seams import Fragment, Lease

__all__ = ["DirectoryFiles"]


class DirectoryFiles:
    """`pulka.seams.FragmentFiles` over files that lie under their keys; `leased` counts leases that run, `doubted` those that ended in doubt."""

    def __init__(self, directory: Path) -> None:
        self.leased = self.doubted = 0
        self._directory = directory

    async def lease(self, fragments: Sequence[Fragment]) -> Lease:
        """The files, where they are."""
        self.leased += 1
        return Lease({one.id: self._directory / one.key for one in fragments}, self._release)

    def _release(self, doubt: bool) -> None:
        self.leased -= 1
        self.doubted += doubt
