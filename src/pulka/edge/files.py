"""The file system as a process sees it, read with care: paths may be relative, huge, gone, or somebody else's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["GENERIC", "Files", "telling"]

_BYTES_MAX = 1 << 20
# File and module names that every second project has: the directory above says more.
GENERIC = frozenset({"main", "app", "application", "server", "index", "run", "start", "manage", "wsgi", "asgi", "api", "service", "bin", "cmd",
                     "src", "dist", "build", "lib", "web", "worker", "__main__", "current", "release", "releases", "www", "html", "public", "code",
                     "out", "target", "libs", "publish", "cli", "entrypoint", "bootstrap"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Files:
    """`root` is where the process's `/` is, `cwd` its working directory."""

    root: Path
    cwd: str

    def absolute(self, path: str) -> PurePosixPath:
        """A path of the process, made absolute; `..` is taken out."""
        parts: list[str] = []
        for part in (PurePosixPath(self.cwd or "/") / path).parts[1:]:
            parts = parts[:-1] if part == ".." else [*parts, part]
        return PurePosixPath("/", *parts)

    def local(self, path: str | PurePosixPath) -> Path:
        """Where that is for us."""
        return self.root / str(self.absolute(str(path))).lstrip("/")

    def read(self, path: str | PurePosixPath) -> str | None:
        """A small text file; None when it is absent, too large, or not to be read."""
        try:
            local = self.local(path)
            if not local.is_file() or local.stat().st_size > _BYTES_MAX:
                return None
            return local.read_text(errors="replace")
        except OSError:
            return None

    def exists(self, path: str | PurePosixPath) -> bool:
        """Whether there is something."""
        try:
            return self.local(path).exists()
        except OSError:
            return False

    def above(self, path: str | PurePosixPath) -> Iterator[PurePosixPath]:
        """The directory itself and those above it, without `/`."""
        directory = self.absolute(str(path))
        yield from [one for one in (directory, *directory.parents) if one != PurePosixPath("/")]


def telling(path: PurePosixPath) -> str | None:
    """The last part of a path, without its suffix, that is not a name every project has."""
    for part in [path.stem, *reversed(path.parent.parts)]:
        if part not in ("/", "") and part.lower() not in GENERIC and not part.replace(".", "").isdigit():
            return part
    return None
