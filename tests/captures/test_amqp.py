"""AMQP as tshark and DeepFlow see it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions
from tests.captures.wire import decoded_as

NAMES = {("10", "40"): "connect", ("20", "10"): "channel.open", ("40", "10"): "exchange.declare", ("50", "10"): "queue.declare", ("50", "20"): "queue.bind",
         ("60", "20"): "consume", ("60", "40"): "publish", ("60", "60"): "deliver", ("60", "70"): "get"}  # fmt: skip


@pytest.mark.tshark
def test_methods_and_destinations() -> None:
    agreement = Agreement("amqp")
    for capture in captures("amqp"):
        fields = ("amqp.method.class", "amqp.method.method", "amqp.method.arguments.exchange", "amqp.method.arguments.routing_key")
        rows = decoded_as(capture, "amqp", "amqp", "amqp", *fields)
        theirs = []
        for row in rows:
            for index, method in enumerate(zip(row["amqp.method.class"], row["amqp.method.method"], strict=True)):
                exchange = (row["amqp.method.arguments.exchange"] or [""])[0] if index == 0 else ""
                theirs += [(NAMES[method], exchange if NAMES[method] in ("publish", "deliver") else "")] if method in NAMES else []
        ours = transactions(capture, "amqp")
        agreement.add(capture, ((row["operation"], row["target"].partition(":")[0] if row["operation"] in ("publish", "deliver") else "") for row in ours), theirs)
    agreement.check()
