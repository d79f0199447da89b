"""CQL as tshark sees it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports

NAMES = {"1": "CONNECT", "5": "OPTIONS", "9": "PREPARE", "11": "REGISTER", "13": "BATCH"}


@pytest.mark.tshark
def test_requests_and_errors() -> None:
    agreement = Agreement("cassandra")
    for capture in captures("cassandra"):
        rows = decoded_as(capture, "cassandra", "cql", "cql", "cql.opcode", "tcp.srcport")
        requests = from_clients(rows, server_ports(capture, "cassandra"))
        read = {port for row in requests for port in row["tcp.srcport"]}  # this tshark reads nothing of version 5
        ours = [row for row in transactions(capture, "cassandra") if row["client"].rsplit(":", 1)[1] in read]
        theirs = [NAMES.get(opcode, "query") for row in requests for opcode in row["cql.opcode"] if opcode != "15"]
        agreement.add(capture, (row["operation"] if row["operation"] in NAMES.values() else "query" for row in ours if row["operation"] != "EVENT"), theirs)
    agreement.check()
