"""Go: the path of the main package, which every binary carries (`debug/buildinfo`, the layout since Go 1.18)."""

import mmap
import re
from pathlib import PurePosixPath

from pulka.edge.files import GENERIC, Files

__all__ = ["build_info", "go_name"]

_MAGIC = b"\xff Go buildinf:"
_HEADER_BYTES = 32
_INLINE = 2
_BINARY_BYTES_MAX = 512 << 20


def go_name(exe: str, files: Files) -> tuple[str, str, str] | None:
    """(name, source, version of Go) of a Go binary; None for another one."""
    try:
        local = files.local(exe)
        if not 1024 <= local.stat().st_size <= _BINARY_BYTES_MAX:
            return None
        with local.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = build_info(data)
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    version, information = found
    return _name(information, exe), "go module", version.removeprefix("go")


def build_info(data: bytes | mmap.mmap) -> tuple[str, str] | None:
    """(version of Go, module information) in the bytes of a binary."""
    at = data.find(_MAGIC)
    if at < 0 or at + _HEADER_BYTES > len(data):
        return None
    if not data[at + 15] & _INLINE:
        return "", ""
    version, after = _text(data, at + _HEADER_BYTES)
    information, _ = _text(data, after)
    return version.decode(errors="replace"), information[16:-16].decode(errors="replace")


def _text(data: bytes | mmap.mmap, at: int) -> tuple[bytes, int]:
    size, shift = 0, 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at, size, shift = at + 1, size | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            break
    return bytes(data[at : at + min(size, 1 << 20)]), at + size


def _name(information: str, exe: str) -> str:
    lines = dict(re.findall(r"^(path|mod)\t(\S+)", information, re.MULTILINE))
    parts = [part for part in lines.get("path", "").split("/") if not re.fullmatch(r"v\d+", part)]
    named = next((part for part in reversed(parts) if part.lower() not in GENERIC and part != "command-line-arguments"), None)
    return named or PurePosixPath(exe).name
