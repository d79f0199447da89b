"""Node.js: the name in the nearest package.json, else the script."""

import json
from collections.abc import Sequence

from pulka.edge.files import Files, telling

__all__ = ["node_name"]

_FLAGS_WITH_VALUE = {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file", "--title"}


def node_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from `node [flags] script ...`."""
    rest = list(argv[1:])
    while rest and rest[0].startswith("-"):
        if rest[0] in ("-e", "--eval", "-p"):
            return None
        rest = rest[2:] if rest[0] in _FLAGS_WITH_VALUE else rest[1:]
    script = files.absolute(rest[0] if rest else ".")
    for directory in files.above(script.parent if rest else script):
        if directory.name != "node_modules" and (name := _package(files.read(directory / "package.json"))):
            return name, "package.json"
    name = telling(script) if rest else None
    return (name, "node script") if name else None


def _package(text: str | None) -> str | None:
    try:
        package = json.loads(text or "null")
    except ValueError:
        return None
    name = package.get("name") if isinstance(package, dict) else None
    return name if isinstance(name, str) and name else None
