"""A PostgreSQL of its own for the suites that run on it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from pulka.store import schema


def postgres_binaries() -> Path | None:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def unprivileged() -> tuple[list[str], tuple[int, int] | None]:
    """PostgreSQL refuses to run as root: a prefix that changes the user, and whom the directory must belong to."""
    if os.geteuid() != 0:
        return [], None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return prefix, (user.pw_uid, user.pw_gid)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed here: the catalog's contract runs on SQLite only")
    # Not pytest's own directory: another user could not reach into it.
    home = Path(tempfile.mkdtemp(prefix="pulka-pg-"))
    prefix, owner = unprivileged()
    if owner:
        os.chown(home, *owner)
    data = home / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "pulka", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*prefix, *map(str, initdb)], check=True, capture_output=True, cwd=home)
    serve = [binaries / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"]
    ready = home / "data/postmaster.pid"
    with subprocess.Popen([*prefix, *map(str, serve)], cwd=home, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None and not (ready.exists() and ready.read_text().rstrip().endswith("ready")):
                ready.parent.stat()
            assert server.poll() is None, "PostgreSQL did not start"
            yield f"postgresql://pulka@/postgres?host={home}"
        finally:
            server.send_signal(signal.SIGINT)  # fast: a connection that was left open does not keep it
            server.wait()
            shutil.rmtree(home, ignore_errors=True)


def empty_catalog(database: str, request: pytest.FixtureRequest) -> str:
    """The URL of a catalog that is not there yet, on `sqlite` or `postgres`."""
    if database == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/catalog.db"
    url: str = request.getfixturevalue("postgres_url")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    schema.metadata.drop_all(engine)
    engine.dispose()
    return url
