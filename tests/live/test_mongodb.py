"""FerretDB, a server of MongoDB's protocol over SQLite, built from its module; truth is what the driver's command monitor and the server's metrics counted."""

import os
import re
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import Seen, build, program, proven, server, watched
from tests.processes import free_port

Asked = Counter[tuple[str, str, str]]
"""Requests by command, collection, code of the error."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `ferretdb` and `mongodb`, our client."""
    directory = tmp_path_factory.mktemp("go")
    build(program("go", "golang"), "build", "-C", HERE / "mongodb", "-o", f"{directory}/", ".", "github.com/FerretDB/FerretDB/cmd/ferretdb")
    return directory


def release(module: str) -> str:
    found = re.search(rf"{re.escape(module)} v(\S+)", (HERE / "mongodb" / "go.mod").read_text())
    assert found, module
    return found.group(1)


@contextmanager
def ferretdb(built: Path, home: Path) -> Iterator[tuple[int, int]]:
    """(its port, the port of its metrics)"""
    port, metrics = free_port(), free_port()
    (home / "data").mkdir()
    options = [f"--listen-addr=127.0.0.1:{port}", f"--debug-addr=127.0.0.1:{metrics}", f"--sqlite-url=file:{home}/data/", f"--state-dir={home}"]
    with server([str(built / "ferretdb"), "--handler=sqlite", "--telemetry=disable", "--log-level=error", *options], port, env=os.environ | {"DO_NOT_TRACK": "1"}):
        yield port, metrics


def counted(metrics: int) -> Counter[str]:
    """Requests by command, as the server has counted them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/debug/metrics") as answer:
        said = answer.read().decode()
    print(said[:200], [line for line in said.splitlines() if "ferretdb_client" in line])
    found: Counter[str] = Counter()
    for labels, count in re.findall(r"^ferretdb_client_requests_total\{(.*)\} (\S+)$", said, re.M):
        found[re.search(r'command="(\w+)"', labels).group(1)] += int(float(count))  # type: ignore[union-attr]
    return found


def asked(built: Path, port: int) -> Asked:
    done = subprocess.run([built / "mongodb", str(port)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return Counter({(command, collection, code): int(count) for command, collection, code, count in lines})


def of_the_program(seen: Seen) -> Asked:
    """What we saw, but for how the driver opens and watches its connections."""
    rows = [row for row in seen.rows("mongodb") if row["operation"] not in ("hello", "isMaster", "ismaster")]
    return Counter((str(row["operation"]), str(row["target"] or ""), str(row["status"] or "")) for row in rows)


@pytest.mark.slow  # built the first time
def test_ferretdb(built: Path, home: Path) -> None:
    with ferretdb(built, home) as (port, metrics):
        before = counted(metrics)
        with watched(port, home) as seen:
            theirs = asked(built, port)
        print(counted(metrics) - before)
    ours = of_the_program(seen)
    print(theirs, ours)
    print(Counter((row["operation"], row["target"], row["status"], row["initiator"]) for row in seen.rows("mongodb")))
    assert ours == theirs, (ours - theirs, theirs - ours)
    assert not any("secret" in str(row) for row in seen.rows("mongodb"))
    proven("protocol", "mongodb", f"FerretDB {release('github.com/FerretDB/FerretDB')} over SQLite, Go driver {release('go.mongodb.org/mongo-driver/v2')}", theirs.total())
