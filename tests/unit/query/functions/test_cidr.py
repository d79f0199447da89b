from ipaddress import ip_address, ip_network

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulka.query.functions.cidr import in_network

NETWORKS = st.one_of(st.ip_addresses(), st.sampled_from(["10.0.0.0", "10.128.0.0", "2001:db8::", "::ffff:10.0.0.0"]).map(ip_address)).flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(lambda length: ip_network((address, length), strict=False))
)


def expected(text, network):
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address in network or (mapped is not None and mapped in network)


@given(NETWORKS, st.data())
@settings(deadline=None)
def test_addresses_of_a_network_and_their_neighbours(network, data):
    first, last = int(network.network_address), int(network.broadcast_address)
    numbers = [first, last, first - 1, last + 1, data.draw(st.integers(first, last))]
    kind = type(network.network_address)
    inside = [str(kind(number)) for number in numbers if 0 <= number < 1 << network.max_prefixlen]
    texts = [*inside, *(f"{text}%eth0" for text in inside if ":" in text), *(text.upper() for text in inside), *(f"::ffff:{text}" for text in inside if "." in text), *map(str, data.draw(st.lists(st.ip_addresses())))]
    assert in_network(pa.array(texts), str(network)).to_pylist() == [expected(text, network) for text in texts]


@pytest.mark.parametrize("text", ["", "10", "10.0.0.1 ", "10.0.0.1\n", "10.0.0.256", "010.0.0.1", "10.0.0.1:80", "10.0.0", "a.b.c.d", ":", "::g"])
def test_what_is_no_address_is_in_no_network(text):
    assert in_network(pa.array([text]), "0.0.0.0/0").to_pylist() == [False]
    assert in_network(pa.array([text]), "::/0").to_pylist() == [False]


def test_in_sql(lake):
    lake.store([{"timestamp": n, "ip": ip, "n": n} for n, ip in enumerate(["10.0.0.1", "192.168.0.1", "2001:db8::1", None, "x"])])
    lake.buffer([{"timestamp": 9, "ip": "10.9.9.9", "n": 9}])
    assert lake.rows("select n from logs where cidr_match(ip, '10.0.0.0/8') order by n") == [(0,), (9,)]
    assert lake.rows("select n from logs where cidr_match(ip, '2001:db8::/32')") == [(2,)]
    assert lake.rows("select count(*) from logs where cidr_match(ip, '10.0.0.0/8') is null") == [(1,)]
    assert lake.rows("select n from logs where cidr_match(ip, case when n = 1 then '192.168.0.0/16' else '10.0.0.0/8' end) order by n") == [(0,), (1,), (9,)]


def test_a_network_that_is_none_is_a_bad_query(lake):
    from pulka.errors import BadQuery

    lake.store([{"timestamp": 1, "ip": "10.0.0.1"}])
    with pytest.raises(BadQuery):
        lake.rows("select * from logs where cidr_match(ip, 'nonsense')")


def test_in_a_condition_that_is_kept(lake):
    import asyncio

    from pulka.errors import BadQuery
    from pulka.query.conditions import Conditions

    lake.store([{"timestamp": 1, "ip": "10.0.0.1"}])
    conditions = Conditions(lake.catalog, lake.fresh)
    kept = asyncio.run(conditions.bind("acme", "logs", "cidr_match(ip, '10.0.0.0/8')"))
    assert kept.fields == (("ip", "str"),)
    with pytest.raises(BadQuery):
        asyncio.run(conditions.bind("acme", "logs", "cidr_match('10.0.0.1', ip)"))
