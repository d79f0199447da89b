"""`cidr_match(text, '10.0.0.0/8')`: whether the text is an IP address of that network; no SQL expression says it for IPv6."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET6, inet_pton

import pyarrow as pa
import pyarrow.compute as pc
from datafusion import udf

__all__ = ["cidr_match", "in_network"]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_MAPPED = bytes(10) + b"\xff\xff"
_Network = IPv4Network | IPv6Network


def in_network(text: pa.Array, cidr: str) -> pa.Array:
    """Per row whether `text` is an address within `cidr`; null stays null, text that is no address is false.

    An IPv4 address mapped to IPv6 (`::ffff:10.0.0.1`) is within both of its networks. ValueError when `cidr` is no network.
    """
    network = ip_network(cidr, strict=False)
    found = _in_ipv6_form(text, network)
    if isinstance(network, IPv4Network):
        found = pc.or_(found, pc.match_substring_regex(text, _dotted(network)))
    return pc.if_else(pc.is_valid(text), found, pa.scalar(None, pa.bool_()))


def _dotted(network: IPv4Network) -> str:
    """The regular expression of a network's addresses: octets are fixed, then one has a range, then any will do."""
    bounds = zip(network.network_address.packed, network.broadcast_address.packed, strict=True)
    return "^" + r"\.".join(_OCTET if (low, high) == (0, 255) else f"(?:{'|'.join(map(str, range(low, high + 1)))})" for low, high in bounds) + "$"


def _in_ipv6_form(text: pa.Array, network: _Network) -> pa.Array:
    """IPv6 has many spellings of one address, so each distinct text is read as such; few are, where addresses are IPv4."""
    prefix = _MAPPED if isinstance(network, IPv4Network) else b""
    low, high = prefix + network.network_address.packed, prefix + network.broadcast_address.packed
    candidates = pc.unique(text.filter(pc.match_substring(text, ":"))).to_pylist()
    return pc.is_in(text, pa.array([one for one in candidates if one is not None and low <= _packed(one) <= high], pa.string()))


def _packed(text: str) -> bytes:
    """The 16 bytes of an IPv6 address, its zone left out; no bytes when it is none. `ipaddress` takes ten times as long."""
    try:
        return inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return b""


def _cidr_match(text: pa.Array, cidrs: pa.Array) -> pa.Array:
    """The network is nearly always a literal, which comes repeated for every row."""
    text, cidrs = text.cast(pa.string()), cidrs.cast(pa.string())
    distinct = pc.unique(cidrs).to_pylist()
    if len(distinct) == 1:
        return pa.nulls(len(text), pa.bool_()) if distinct[0] is None else in_network(text, distinct[0])
    rows = [pa.nulls(1, pa.bool_()) if cidr is None else in_network(text[row : row + 1], cidr) for row, cidr in enumerate(cidrs.to_pylist())]
    return pa.concat_arrays(rows) if rows else pa.nulls(0, pa.bool_())


cidr_match = udf(_cidr_match, [pa.string_view(), pa.string_view()], pa.bool_(), "immutable", "cidr_match")
"""The function for a session of DataFusion."""
