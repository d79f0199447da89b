"""Which TLS libraries a process has loaded, and whether their plaintext can be seen."""

import re
from pathlib import Path

__all__ = ["libraries"]

_LIBRARIES = (
    ("openssl", re.compile(r"/libssl\.so[.\d]*$|/libssl-[0-9a-f]+\.so[.\d]*$")),
    ("gnutls", re.compile(r"/libgnutls\.so[.\d]*$|/libgnutls-[0-9a-f]+\.so[.\d]*$")),
    ("nss", re.compile(r"/libnspr4\.so$|/libssl3\.so$")),
)


def libraries(process: Path) -> list[str]:
    """Kinds of TLS library among the files that a process (`/proc/PID`) has mapped, as `openssl: /usr/lib/.../libssl.so.3`."""
    try:
        lines = (process / "maps").read_text(errors="replace").splitlines()
    except OSError:
        return []
    mapped = dict.fromkeys(line.split(None, 5)[5] for line in lines if "x" in line[:90].split(" ", 2)[1] and len(line.split(None, 5)) == 6)
    return [f"{kind}: {path}" for path in mapped for kind, pattern in _LIBRARIES if pattern.search(path)]
