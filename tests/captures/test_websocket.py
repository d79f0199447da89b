"""WebSocket as tshark and Suricata see it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions
from tests.captures.wire import decoded_as

NAMES = {"1": "text", "2": "binary", "8": "close", "9": "ping"}


@pytest.mark.tshark
def test_messages() -> None:
    """Frames that go on a message (opcode 0) and pongs are parts of others."""
    agreement = Agreement("websocket")
    for capture in captures("websocket"):
        rows = decoded_as(capture, "websocket", "http", "websocket", "websocket.opcode")
        agreement.add(capture, (row["operation"] for row in transactions(capture, "websocket")), (NAMES[opcode] for row in rows for opcode in row["websocket.opcode"] if opcode in NAMES))
    agreement.check()
