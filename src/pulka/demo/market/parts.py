"""The services of the market: what each needs of this machine, and how it is made and started. A part that cannot be is a sentence."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PARTS", "Missing", "Place", "Started", "certificate"]

_MAKE_S = 120
"""How long compiling one of them may take."""


class Missing(Exception):
    """This machine does not have what a part needs."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part lives: its directory, its port, the ports of all, and the directory of all."""

    home: Path
    port: int
    ports: Mapping[str, int]
    root: Path

    @property
    def certificate(self) -> Path:
        """Of the one behind TLS."""
        return self.root / "certificate.pem"


Started = Callable[[Place], "subprocess.Popen[bytes]"]


def _program(name: str, why: str = "") -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(why or f"{name} is not on PATH")
    return found


def _run(*command: str | Path, home: Path, **more: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([str(word) for word in command], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)  # type: ignore[call-overload, no-any-return]


def _make(*command: str | Path, home: Path, **more: object) -> None:
    try:
        subprocess.run([str(word) for word in command], cwd=home, check=True, capture_output=True, timeout=_MAKE_S, **more)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise Missing(f"{Path(command[0]).name} took more than {_MAKE_S} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {error.returncode}"]
        raise Missing(f"{Path(command[0]).name}: {said[-1]}") from None


def certificate(root: Path) -> None:
    """`certificate.pem` and `key.pem` of localhost, which the storefront trusts."""
    _make(
        _program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", root / "key.pem", "-out", root / "certificate.pem", home=root,
    )  # fmt: skip


def _prices(place: Place) -> "subprocess.Popen[bytes]":
    return _run(_program("node"), "server.js", str(place.port), home=place.home)


def _warehouse(place: Place) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    _make(_program("go"), "build", "-o", "warehouse", ".", home=place.home, env=environment)
    return _run(place.home / "warehouse", str(place.port), home=place.home)


def _reviews(place: Place) -> "subprocess.Popen[bytes]":
    java = _program("java")
    _make(_program("javac", "javac is not on PATH: a JDK has it"), "Reviews.java", home=place.home)
    return _run(java, "-Xmx64m", "-cp", ".", "Reviews", str(place.port), home=place.home)


def _wallet(place: Place) -> "subprocess.Popen[bytes]":
    certificate(place.root)
    return _run(sys.executable, "__main__.py", str(place.port), place.certificate, place.root / "key.pem", home=place.home)


def _redis(place: Place) -> "subprocess.Popen[bytes]":
    return _run(_program("redis-server"), "--port", str(place.port), "--bind", "127.0.0.1", "--save", "", home=place.home)


def _postgres(place: Place) -> "subprocess.Popen[bytes]":
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    binaries = next((path for path in places if (path / "initdb").exists()), None)
    if binaries is None:
        raise Missing("neither on PATH nor in /usr/lib/postgresql")
    who = _unprivileged(place.home)
    _make(binaries / "initdb", "-D", "data", "-U", "market", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", home=place.home, **who)
    options: list[str | Path] = ["-D", "data", "-k", place.home, "-h", "127.0.0.1", "-p", str(place.port), "-c", "fsync=off"]
    return _run(binaries / "postgres", *options, home=place.home, **who)


def _unprivileged(home: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root: another user, to whom its directory is given."""
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _storefront(place: Place) -> "subprocess.Popen[bytes]":
    return _run(sys.executable, "__main__.py", json.dumps(dict(place.ports)), place.certificate, home=place.home)


_NGINX = """daemon off; worker_processes 1; pid {home}/nginx.pid; error_log /dev/null;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home}; uwsgi_temp_path {home}; scgi_temp_path {home};
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{storefront}; proxy_http_version 1.1; }} }} }}
"""


def _nginx(place: Place) -> "subprocess.Popen[bytes]":
    program = _program("nginx")
    (place.home / "nginx.conf").write_text(_NGINX.format(home=place.home, port=place.port, storefront=place.ports["storefront"]))
    return _run(program, "-c", place.home / "nginx.conf", home=place.home)


def _shoppers(place: Place) -> "subprocess.Popen[bytes]":
    return _run(sys.executable, "__main__.py", str(place.ports.get("nginx", place.ports["storefront"])), home=place.home)


PARTS: dict[str, tuple[str, Started]] = {
    "prices": ("Node.js", _prices),
    "warehouse": ("Go", _warehouse),
    "reviews": ("Java", _reviews),
    "wallet": ("Python behind TLS", _wallet),
    "redis": ("Redis", _redis),
    "postgres": ("PostgreSQL", _postgres),
    "storefront": ("Python", _storefront),
    "nginx": ("nginx", _nginx),
    "shoppers": ("the load", _shoppers),
}
"""By name, with what it is written in; those before the storefront are its peers, those behind it need it."""
