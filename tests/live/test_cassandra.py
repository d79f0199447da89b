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
        "audit_logging_options: {enabled: true, excluded_keyspaces: '', logger: [{class_name: FileAuditLogger}]}\n"
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


def asked(jars: Path, home: Path, port: int, version: str, compression: str = "none") -> Counter[tuple[str, str]]:
    """Requests that the driver made, by operation and error."""
    done = subprocess.run(java(jars, home, HERE / "cassandra" / "client.java", str(port), version, compression), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return Counter({(operation, CLASSES.get(error, error)): int(count) for operation, error, count in lines})


def audited(home: Path) -> Counter[str]:
    """Statements that the node has executed, or failed to, by the kind that its audit log gives them."""
    return Counter(re.findall(r"\|type:(\w+)\|", (home / "audit.log").read_text()))


def of_the_program(seen: Seen) -> Counter[tuple[str, str]]:
    """What we saw but for what the driver asks on its own behalf."""
    rows = [row for row in seen.rows("cassandra") if row["operation"] not in ("CONNECT", "OPTIONS", "REGISTER", "EVENT", "USE")]
    return Counter((str(row["operation"]), str(row["error"] or "")) for row in rows if not SYSTEM.search(str(row["target"])))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["V4", "V5"])
def test_cassandra(version: str, jars: Path, home: Path) -> None:
    with cassandra(jars, home) as port:
        with watched(port, home) as seen:
            theirs = asked(jars, home, port, version)
    import json
    print(json.dumps([theirs.most_common().__repr__(), audited(home)]))
    ours = of_the_program(seen)
    print(Counter((row["operation"], row["target"], row["error"]) for row in seen.rows("cassandra")))
    print(open(home / "audit.log").read()[:6000])
    assert ours == theirs, (ours - theirs, theirs - ours)
    assert not any("secret" in str(row) for row in seen.rows("cassandra"))
    proven("protocol", "cassandra", f"Cassandra {pinned('cassandra', 'cassandra-all')}, Java driver {pinned('cassandra', 'java-driver-core')}: protocol {version[1]}", theirs.total())
