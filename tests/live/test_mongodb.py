"""FerretDB, a server of MongoDB's protocol over SQLite; truth is what the driver's command monitor counted, and the server itself."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import Seen, build, program, proven, server, watched
from tests.processes import free_port

Asked = Counter[tuple[str, str, str]]
"""Requests by command, collection, error."""


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Server and client."""
    binary = tmp_path_factory.mktemp("go") / "mongodb"
    build(program("go", "golang"), "build", "-C", HERE / "mongodb", "-tags", "ferretdb_no_postgresql", "-o", binary, ".")
    return binary


def release(module: str) -> str:
    required = (HERE / "mongodb" / "go.mod").read_text()
    return next(line.split()[1].lstrip("v") for line in required.splitlines() if line.strip().startswith(f"{module} "))


@contextmanager
def ferretdb(mongodb: Path, home: Path) -> Iterator[int]:
    port = free_port()
    (home / "data").mkdir()
    with server([str(mongodb), "serve", str(port), str(home / "data")], port, cwd=home):
        yield port


def said(mongodb: Path, *words: str) -> list[list[str]]:
    done = subprocess.run([mongodb, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def asked(mongodb: Path, port: int) -> Asked:
    return Counter({(command, collection, error): int(count) for command, collection, error, count in said(mongodb, "ask", str(port))})


def of_the_program(seen: Seen) -> Asked:
    """What we saw, but for how the driver opens and watches its connections."""
    rows = [row for row in seen.rows("mongodb") if row["operation"] not in ("hello", "isMaster", "ismaster")]
    return Counter((str(row["operation"]), str(row["target"] or ""), str(row["error"] or "")) for row in rows)


def by_command(requests: Asked) -> dict[str, tuple[int, int]]:
    """(all, failed as a whole): a write error is an answer."""
    total: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for (command, _collection, error), count in requests.items():
        total[command] += count
        failed[command] += count if re.fullmatch("[A-Z].*", error) else 0
    return {command: (count, failed[command]) for command, count in total.items()}


@pytest.mark.slow  # built the first time
def test_ferretdb(mongodb: Path, home: Path) -> None:
    with ferretdb(mongodb, home) as port:
        with watched(port, home) as seen:
            theirs = asked(mongodb, port)
        of_the_server = {command: (int(total), int(failed)) for command, total, failed in said(mongodb, "counted", str(port))}
    known = by_command(theirs)
    assert {command: of_the_server.get(command) for command in known} == known
    named = Counter[tuple[str, str, str]]()
    for (command, collection, error), count in theirs.items():
        named["OTHER" if error == "CommandNotFound" else command, collection, error] += count  # what is not a command has no name
    ours = of_the_program(seen)
    assert ours == named, (ours - named, named - ours)
    assert {row["attributes"]["db.namespace"] for row in seen.rows("mongodb") if row["target"] == "orders"} == {"shop"}  # type: ignore[index]
    assert not any("secret" in str(row) for row in seen.rows("mongodb"))
    versions = f"FerretDB {release('github.com/FerretDB/FerretDB')} (SQLite), MongoDB's Go driver {release('go.mongodb.org/mongo-driver/v2')}"
    proven("protocol", "mongodb", versions, theirs.total())
