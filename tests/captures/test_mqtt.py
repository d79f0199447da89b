"""MQTT as tshark, Suricata and Zeek see it."""

import re

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports

NAMES = {"1": "connect", "8": "subscribe", "10": "unsubscribe", "12": "ping", "14": "disconnect"}


@pytest.mark.tshark
def test_packets_and_topics() -> None:
    agreement = Agreement("mqtt")
    for capture in captures("mqtt"):
        rows = decoded_as(capture, "mqtt", "mqtt", "mqtt", "mqtt.msgtype", "mqtt.topic")
        ports = server_ports(capture, "mqtt")
        theirs = [NAMES[kind] for row in rows for kind in row["mqtt.msgtype"] if kind in NAMES]
        theirs += ["publish" if ports & set(row["tcp.dstport"]) else "deliver" for row in rows for kind in row["mqtt.msgtype"] if kind == "3"]
        ours = transactions(capture, "mqtt")
        agreement.add(capture, (row["operation"] for row in ours), theirs)
        topics = [row["mqtt.topic"][0] for row in from_clients(rows, ports) if row["mqtt.msgtype"] == ["3"] and row["mqtt.topic"]]
        quantised = {row["target"] for row in ours if row["operation"] == "publish"}
        agreement.add(capture, (target.partition("*")[0] for target in quantised), {topic if topic in quantised else _before_star(topic, quantised) for topic in topics})
    agreement.check()


def _before_star(topic: str, quantised: set[str]) -> str:
    return next((target.partition("*")[0] for target in quantised if "*" in target and topic.startswith(target.partition("*")[0])), topic)


def expected(capture: Capture) -> str:
    rules = capture.path.with_name("test.yaml")
    return rules.read_text() if rules.exists() else ""


@pytest.mark.parametrize("capture", [one for one in captures("mqtt") if "dest_port: 1883" in expected(one)], ids=str)
def test_as_suricata(capture: Capture) -> None:
    """It counts the transactions of the whole capture, as we do."""
    counts = re.findall(r"count: (\d+)\s+match:\s+dest_port: 1883", expected(capture))
    assert [len(transactions(capture, "mqtt"))] == [int(count) for count in counts]


def test_publications_as_zeek() -> None:
    for capture in captures("mqtt"):
        log = capture.path.with_suffix(".baseline") / "mqtt_publish.log"
        if log.exists():
            rows = [line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#")]
            theirs = sorted(("publish" if row[6] == "T" else "deliver", row[10]) for row in rows)
            assert sorted((row["operation"], row["target"]) for row in transactions(capture, "mqtt") if row["operation"] in ("publish", "deliver")) == theirs


def test_no_password_leaves_the_decoder() -> None:
    assert not any("pass" in str(row).replace("myvoiceismypassport", "") for capture in captures("mqtt") for row in transactions(capture, "mqtt"))
