"""A Kafka broker (KRaft) from Maven Central; truth is the broker's own request log."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.live.servers import jars_of, pinned, program, proven, server, watched
from tests.processes import free_port


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jars_of("kafka", tmp_path_factory.mktemp("kafka"))


def java(jars: Path, home: Path, main: str, *words: str) -> list[str]:
    return [program("java", "default-jre-headless"), "-Xmx256m", f"-Dlog4j.configuration=file:{home}/log4j.properties", "-cp", f"{jars}/*", main, *words]


def configure(home: Path, port: int) -> Path:
    controller = free_port()
    settings = {
        "process.roles": "broker,controller", "node.id": "1", "controller.quorum.voters": f"1@127.0.0.1:{controller}", "log.dirs": home / "data",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}", "controller.listener.names": "CONTROLLER",
        "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "33554432",
    }  # fmt: skip
    (home / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (home / "log4j.properties").write_text(
        f"log4j.rootLogger=ERROR\nlog4j.logger.kafka.request.logger=DEBUG, requests\nlog4j.appender.requests=org.apache.log4j.FileAppender\n"
        f"log4j.appender.requests.File={home}/requests-${{who}}.log\nlog4j.appender.requests.layout=org.apache.log4j.PatternLayout\nlog4j.appender.requests.layout.ConversionPattern=%m%n\n"
    )
    return home / "server.properties"


def logged(home: Path, port: int) -> Counter[str]:
    """Requests that the broker completed on its clients' listener, by API."""
    requests = (json.loads(line.split(":", 1)[1]) for line in (home / "requests-broker.log").read_text().splitlines() if line.startswith("Completed request:"))
    return Counter(request["requestHeader"]["requestApiKeyName"].replace("_", "") for request in requests if f":{port}-" in request["connection"])


@pytest.mark.slow
def test_kafka(jars: Path, home: Path) -> None:
    port = free_port()
    settings = configure(home, port)
    subprocess.run(java(jars, home, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(settings)), check=True, capture_output=True)
    where = ["--bootstrap-server", f"127.0.0.1:{port}"]
    broker = java(jars, home, "kafka.Kafka", str(settings))
    with server([broker[0], "-Dwho=broker", *broker[1:]], port, env=os.environ), watched(port, home) as seen:
        run = lambda main, *words: subprocess.run(java(jars, home, main, *words), check=True, capture_output=True, timeout=180)  # noqa: E731
        run("org.apache.kafka.tools.TopicCommand", *where, "--create", "--topic", "orders", "--partitions", "3")
        sent = ["--num-records", "3000", "--record-size", "100", "--throughput", "1500", "--producer-props", where[0].replace("--bootstrap-server", f"bootstrap.servers={where[1]}")]
        run("org.apache.kafka.tools.ProducerPerformance", "--topic", "orders", *sent)
        run("org.apache.kafka.tools.ConsumerPerformance", *where, "--topic", "orders", "--messages", "3000", "--timeout", "60000")
    ours: Counter[str] = Counter()
    for row in seen.rows("kafka"):
        ours[re.sub(r"[^A-Za-z]", "", str(row["operation"])).upper()] += 1
    theirs = logged(home, port)
    assert ours == theirs, (ours - theirs, theirs - ours)
    assert ours["PRODUCE"] > 10 and ours["FETCH"] > 1
    proven("protocol", "kafka", f"Kafka {pinned('kafka', 'kafka_2.13')} (KRaft)", sum(theirs.values()))
