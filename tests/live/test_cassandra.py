"""A Cassandra node from Maven Central; truth is what the Java driver asked for, and the node's own audit log."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import Seen, jars_of, pinned, program, proven, server, watched
from tests.processes import free_port

CLASSES = {"AlreadyExistsException": "already_exists", "InvalidQueryException": "invalid", "SyntaxError": "syntax_error"}
"""How we call an error, by its class in the driver."""
Asked = Counter[tuple[str, str]]
"""Requests by operation and error."""
SYSTEM = re.compile(r"\bsystem(_\w+)?\.")


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jars_of("cassandra", tmp_path_factory.mktemp("cassandra"))


def java(jars: Path, home: Path, *words: str | Path) -> list[str]:
    return [program("java", "default-jdk-headless"), f"-Dlogback.configurationFile={home}/logback.xml", "-cp", f"{jars}/*", *map(str, words)]


def configure(home: Path, port: int) -> None:
    storage = free_port()
    (home / "cassandra.yaml").write_text(
        "cluster_name: pulka\npartitioner: org.apache.cassandra.dht.Murmur3Partitioner\nendpoint_snitch: SimpleSnitch\nnum_tokens: 1\n"
        f"listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\nstorage_port: {storage}\nnative_transport_port: {port}\n"
        f"seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{{seeds: '127.0.0.1:{storage}'}}]}}]\n"
        "commitlog_sync: periodic\ncommitlog_sync_period: 10s\nauto_snapshot: false\n"
        "audit_logging_options: {enabled: true, logger: [{class_name: FileAuditLogger}]}\n"
    )
    (home / "logback.xml").write_text(
        f"<configuration><appender name='audit' class='ch.qos.logback.core.FileAppender'><file>{home}/audit.log</file><encoder><pattern>%m%n</pattern></encoder></appender>"
        "<appender name='errors' class='ch.qos.logback.core.ConsoleAppender'><target>System.err</target><encoder><pattern>%m%n</pattern></encoder></appender>"
        "<logger name='org.apache.cassandra.audit' level='INFO' additivity='false'><appender-ref ref='audit'/></logger><root level='ERROR'><appender-ref ref='errors'/></root></configuration>"
    )


@contextmanager
def cassandra(jars: Path, home: Path) -> Iterator[int]:
    """A node's port."""
    port = free_port()
    configure(home, port)
    options = [f"@{HERE}/cassandra/jvm.options", f"-Dcassandra.config=file://{home}/cassandra.yaml", f"-Dcassandra.storagedir={home}/data"]
    with server(java(jars, home, *options, "org.apache.cassandra.service.CassandraDaemon"), port, env=os.environ):
        yield port


def client(jars: Path, home: Path, port: int, *words: str) -> list[str]:
    return java(jars, home, HERE / "cassandra" / "client.java", str(port), *words)


def told(lines: str) -> Asked:
    """What the driver was asked for."""
    split = (line.split("\t") for line in lines.splitlines())
    return Counter({(operation, CLASSES.get(error, error)): int(count) for operation, error, count in split})


def asked(jars: Path, home: Path, port: int, version: str, compression: str = "none") -> Asked:
    done = subprocess.run(client(jars, home, port, version, compression), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return told(done.stdout)


def audited(home: Path) -> Counter[str]:
    """Requests that the node has executed, or failed to, by the kind that its audit log gives them; the driver's own ones, of system tables, are not in it."""
    lines = [line for line in (home / "audit.log").read_text().splitlines() if "|batch:" not in line or "|type:BATCH|" in line]  # the others are a batch's statements
    return Counter(kind for line in lines for kind in re.findall(r"\|type:([A-Z]+)", line) if kind != "USE")


def of_the_program(seen: Seen) -> Asked:
    """What we saw but for what the driver asks on its own behalf."""
    rows = [row for row in seen.rows("cassandra") if row["operation"] not in ("CONNECT", "OPTIONS", "REGISTER", "EVENT", "USE")]
    return Counter((str(row["operation"]), str(row["error"] or "")) for row in rows if not SYSTEM.search(str(row["target"])))


def kinds(requests: Asked) -> Counter[str]:
    """As the audit log tells requests apart: by statement, or as failed."""
    found: Counter[str] = Counter()
    for (operation, error), count in requests.items():
        found["REQUEST" if error else "UPDATE" if operation == "INSERT" else operation] += count
    return found


@pytest.mark.slow
@pytest.mark.parametrize("version", ["V4", "V5"])
def test_cassandra(version: str, jars: Path, home: Path) -> None:
    with cassandra(jars, home) as port, watched(port, home) as seen:
        theirs = asked(jars, home, port, version)
    ours = of_the_program(seen)
    assert ours == theirs, (ours - theirs, theirs - ours)
    assert kinds(ours) == audited(home)
    assert {row["attributes"]["db.namespace"] for row in seen.rows("cassandra") if row["operation"] == "INSERT"} == {"shop"}  # type: ignore[index]
    assert not any("secret" in str(row) for row in seen.rows("cassandra"))
    proven("protocol", "cassandra", f"Cassandra {pinned('cassandra', 'cassandra-all')}, Java driver {pinned('cassandra', 'java-driver-core')}: protocol {version[1]}", theirs.total())


@pytest.mark.slow
@pytest.mark.parametrize("version", ["V4", "V5"])
def test_a_connection_that_was_open_before(version: str, jars: Path, home: Path) -> None:
    with cassandra(jars, home) as port, subprocess.Popen(client(jars, home, port, version, "none", "later"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout and driver.stdout.readline() == "connected\n"
        with watched(port, home) as seen:
            theirs = told(driver.communicate("\n", timeout=120)[0])
    assert of_the_program(seen) == theirs == {("SELECT", ""): 100, ("SELECT", "invalid"): 100}


@pytest.mark.slow
def test_compressed(jars: Path, home: Path) -> None:
    """Of compressed messages statements are not read, only what kind of message they are."""
    with cassandra(jars, home) as port, watched(port, home) as seen:
        asked(jars, home, port, "V4", "lz4")
    ours, theirs = Counter(row["operation"] for row in seen.rows("cassandra")), audited(home)
    assert (ours["PREPARE"], ours["BATCH"]) == (theirs["PREPARE"], theirs["BATCH"])
    assert sum(bool(row["error"]) for row in seen.rows("cassandra")) == theirs["REQUEST"]
    assert ours["OTHER"] >= theirs.total() - ours["PREPARE"] - ours["BATCH"]
