"""What BPF programs and links the kernel has now, by the bpf system call: ids do not repeat, so sets of them can be compared."""

import ctypes
import os
import re
import struct
from pathlib import Path

from tests.waiting import latest

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSCALL = 321
_PROG_NEXT, _LINK_NEXT, _PROG_FD, _INFO = 11, 31, 13, 15
_INFO_BYTES = 224


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return _LIBC.syscall(_SYSCALL, command, buffer, 128), buffer.raw


def _ids(command: int) -> set[int]:
    found: set[int] = set()
    last = 0
    while True:
        result, attributes = _bpf(command, struct.pack("I", last))
        if result < 0:
            return found
        last = struct.unpack_from("I", attributes, 4)[0]
        found.add(last)


def held(pid: int | str) -> tuple[set[int], set[int]]:
    """(programs, links) that a process holds."""
    found: tuple[set[int], set[int]] = set(), set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except OSError:
            continue
        for ids, name in zip(found, ("prog_id", "link_id"), strict=True):
            if "link_id" in text and name == "prog_id":
                continue
            ids.update(int(number) for number in re.findall(rf"^{name}:\s*(\d+)", text, re.MULTILINE))
    return found


def are_gone(held: tuple[set[int], set[int]]) -> bool:
    """Whether none of these (programs, links) is left; the kernel frees them a moment after their last user."""
    return not latest(lambda: held[0] & programs() | held[1] & links(), lambda left: not left, 10)


def machine_code(program: int) -> tuple[str, bytes]:
    """(name, what the kernel runs) of a program; x86-64."""
    descriptor, _ = _bpf(_PROG_FD, struct.pack("I", program))
    code, info = ctypes.create_string_buffer(1 << 16), ctypes.create_string_buffer(_INFO_BYTES)
    struct.pack_into("<I", info, 16, len(code))
    struct.pack_into("<Q", info, 24, ctypes.addressof(code))
    result, _ = _bpf(_INFO, struct.pack("IIQ", descriptor, _INFO_BYTES, ctypes.addressof(info)))
    os.close(descriptor)
    assert result == 0
    return info.raw[64:80].rstrip(b"\0").decode(), code.raw[: struct.unpack_from("<I", info, 16)[0]]


def programs() -> set[int]:
    return _ids(_PROG_NEXT)


def links() -> set[int]:
    return _ids(_LINK_NEXT)
