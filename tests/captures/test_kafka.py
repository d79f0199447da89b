"""Kafka as tshark sees it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports

APIS = {0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch", 10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat", 18: "ApiVersions", 22: "InitProducerId"}


@pytest.mark.tshark
def test_apis_topics_and_errors() -> None:
    agreement = Agreement("kafka")
    for capture in captures("kafka"):
        rows = decoded_as(capture, "kafka", "kafka", "kafka", "kafka.api_key", "kafka.topic_name", "kafka.error", "kafka.correlation_id")
        requests = from_clients(rows, server_ports(capture, "kafka"))
        ours = transactions(capture, "kafka")
        agreement.add(capture, (row["operation"] for row in ours), (APIS[int(key)] for row in requests for key in row["kafka.api_key"]))
        # This tshark does not find the topics of the later, flexible versions.
        named = [",".join(sorted(set(row["kafka.topic_name"]))) for row in requests if row["kafka.topic_name"] not in ([], ["[ Null ]"])]
        agreement.add(capture, (row["target"] for row in ours if row["target"] in named), named)
        answers = [row for row in rows if row not in requests]
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (code for row in answers for code in sorted(set(row["kafka.error"]) - {"0"})[:1]))
    agreement.check()
