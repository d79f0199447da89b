""".NET: the dll that `dotnet` runs, or the executable that has a runtime configuration beside it."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from pulka.edge.files import Files

__all__ = ["dotnet_name"]


def dotnet_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from `dotnet [exec] X.dll ...`, or `X` with `X.runtimeconfig.json` beside it."""
    for word in argv[1:]:
        if word.endswith(".dll"):
            return PurePosixPath(word).stem, "dotnet dll"
    exe = files.absolute(argv[0]) if argv and argv[0] else None
    if exe is not None and exe.name != "dotnet" and files.exists(f"{exe}.runtimeconfig.json"):
        return exe.name, "dotnet dll"
    return None
