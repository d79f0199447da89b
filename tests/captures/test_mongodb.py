"""MongoDB as tshark and DeepFlow see it."""

import re

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports

OPERATIONS = {"2001": "update", "2002": "insert", "2005": "getMore", "2006": "delete", "2007": "killCursors"}


def described(row: dict[str, list[str]]) -> tuple[str, str]:
    """(command, collection): of OP_QUERY to `$cmd` and of OP_MSG, the first field; else what the operation is."""
    opcode, name = row["mongo.opcode"][0], (row["mongo.full_collection_name"] or ["."])[0]
    collection = name.partition(".")[2]
    if opcode == "2013" or collection == "$cmd":
        return row["mongo.element.name"][0], ""
    return OPERATIONS.get(opcode, "find"), collection


@pytest.mark.tshark
def test_commands_and_collections() -> None:
    agreement = Agreement("mongodb")
    for capture in captures("mongodb"):
        fields = ("mongo.opcode", "mongo.full_collection_name", "mongo.element.name")
        rows = from_clients(decoded_as(capture, "mongodb", "mongo", "mongo", *fields), server_ports(capture, "mongodb"))
        ours = [(row["operation"], row["target"]) for row in transactions(capture, "mongodb")]
        agreement.add(capture, (name for name, _ in ours), (described(row)[0] for row in rows))
    agreement.check()


@pytest.mark.parametrize("capture", [one for one in captures("mongodb") if one.beside(".result")], ids=str)
def test_as_deepflow(capture: Capture) -> None:
    result = capture.beside(".result")[0].read_text()
    requests = re.findall(r'msg_type: Request.*?request: "\{ \\?"(\w+)\\?": \\?"(\w+)', result)
    assert [(row["operation"], row["target"]) for row in transactions(capture, "mongodb")] == requests
