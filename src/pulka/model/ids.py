"""Identifiers: sortable by time, unique by chance."""

import random  # noqa: TID251 - the type only

__all__ = ["new_id", "partition_of"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(now_ns: int, entropy: random.Random) -> str:
    """26 characters, as a ULID (Crockford base 32): 48 bits of milliseconds, then 80 random bits."""
    value = ((now_ns // 1_000_000) & ((1 << 48) - 1)) << 80 | entropy.getrandbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def partition_of(tenant: str, partitions: int) -> int:
    """The journal partition of a tenant: FNV-1a of its name, stable over releases and machines."""
    digest = 0xCBF29CE484222325
    for byte in tenant.encode():
        digest = (digest ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return digest % partitions
