"""Memcached as tshark sees it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports


@pytest.mark.tshark
def test_commands() -> None:
    agreement = Agreement("memcached")
    for capture in captures("memcached"):
        rows = from_clients(decoded_as(capture, "memcached", "memcache", "memcache", "memcache.command"), server_ports(capture, "memcached"))
        agreement.add(capture, (row["operation"] for row in transactions(capture, "memcached")), (command for row in rows for command in row["memcache.command"]))
    agreement.check()
