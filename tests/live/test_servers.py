"""Real servers and clients: what the agent and a capture of the same traffic say is what the client, or the server, counted."""

import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.contract.conftest import postgres_binaries, unprivileged
from tests.live.servers import program, proven, server, version, watched
from tests.processes import free_port


def failed(rows: list[dict[str, object]]) -> list[object]:
    return [row["status"] or "" for row in rows if row["error"] is not None]


@contextmanager
def postgres(binaries: Path, home: Path) -> Iterator[int]:
    prefix, _ = unprivileged()
    initdb = [binaries / "initdb", "-D", home / "data", "-U", "pulka", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*prefix, *map(str, initdb)], check=True, capture_output=True, cwd=home)
    port = free_port()
    serve = [*prefix, str(binaries / "postgres"), "-D", str(home / "data"), "-k", str(home), "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
    with server(serve, port, cwd=home):
        yield port


def test_postgresql(home: Path) -> None:
    binaries = postgres_binaries() or pytest.skip("PostgreSQL is not installed")
    executed: Counter[str] = Counter()
    with postgres(binaries, home) as port, watched(port, home) as seen:
        with psycopg.connect(f"host=127.0.0.1 port={port} user=pulka dbname=postgres sslmode=prefer gssencmode=disable", autocommit=True) as connection:
            connection.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
            executed["CREATE"] += 1
            for number in range(500):
                connection.execute("INSERT INTO t VALUES (%s, %s)", (number, "secret" * (number % 50)))
                executed["INSERT"] += 1
            with connection.pipeline():
                for number in range(500):
                    connection.execute("SELECT b FROM t WHERE a = %s", (number,))
                    executed["SELECT"] += 1
            for _ in range(20):
                with pytest.raises(psycopg.errors.UniqueViolation):
                    connection.execute("INSERT INTO t VALUES (1, 'secret')")
                executed["INSERT"] += 1
            with pytest.raises(psycopg.errors.UndefinedTable), connection.pipeline():
                connection.execute("SELECT * FROM gone")
                connection.execute("DELETE FROM t")
            executed["SELECT"] += 1
            executed["DELETE"] += 1
            with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
                for number in range(1000, 20_000):
                    copy.write_row((number, "secret" * 20))
            executed["COPY"] += 1
            connection.execute("SELECT * FROM t").fetchall()
            executed["SELECT"] += 1
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={port} user=pulka dbname=gone sslmode=disable gssencmode=disable")
    rows = seen.rows("postgresql")
    assert Counter(row["operation"] for row in rows if row["operation"] not in ("CONNECT", "PREPARE")) == executed
    assert Counter(failed(rows)) == {"23505": 20, "42P01": 1, "": 1, "3D000": 1}
    assert [row["operation"] for row in rows if row["error"] == "aborted"] == ["DELETE"]
    assert not any("secret" in str(row) for row in rows)
    proven("protocol", "postgresql", f"PostgreSQL {version(str(binaries / 'postgres'), '--version')}, psycopg", executed.total())


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(mode: str, home: Path) -> None:
    binaries = postgres_binaries() or pytest.skip("PostgreSQL is not installed")
    with postgres(binaries, home) as port:
        options = [program("pgbench", "postgresql-contrib"), "-h", "127.0.0.1", "-p", str(port), "-U", "pulka"]
        subprocess.run([*options, "-i", "-q", "postgres"], check=True, capture_output=True)
        with watched(port, home) as seen:
            done = subprocess.run([*options, "-n", "-c", "4", "-t", "150", "-M", mode, "postgres"], check=True, capture_output=True, text=True)
    made = int(re.search(r"processed: (\d+)/", done.stdout).group(1))  # type: ignore[union-attr]
    of_benchmark = [row for row in seen.rows("postgresql") if row["operation"] != "SELECT" or "abalance" in str(row["target"])]
    ours = Counter(row["operation"] for row in of_benchmark if row["operation"] not in ("CONNECT", "PREPARE"))
    assert ours == {"BEGIN": made, "UPDATE": 3 * made, "SELECT": made, "INSERT": made, "END": made}
    proven("protocol", "postgresql", f"PostgreSQL {version(str(binaries / 'postgres'), '--version')}, pgbench", 7 * made)


def test_mysql(home: Path) -> None:
    port, data = free_port(), home / "data"
    install = [program("mariadb-install-db"), f"--datadir={data}", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    serve = [program("mariadbd"), f"--datadir={data}", "--user=root", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={home / 'sock'}", "--skip-log-bin", "--no-defaults"]
    serve = [serve[0], "--no-defaults", *[word for word in serve[1:] if word != "--no-defaults"]]
    statements = ["CREATE DATABASE d", "USE d", "CREATE TABLE t (a INT PRIMARY KEY, b TEXT)"]
    statements += [f"INSERT INTO t VALUES ({number}, 'secret')" for number in range(500)]
    statements += [f"SELECT b FROM t WHERE a = {number}" for number in range(500)]
    statements += ["INSERT INTO t VALUES (1, 'secret')"] * 20 + ["SELECT * FROM gone", "SELECT REPEAT('secret', 200000)"]
    client = [program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{port}", "-uroot", "--force", "--skip-ssl", "--skip-auto-rehash"]
    with server(serve, port), watched(port, home) as seen:
        subprocess.run(client, input=";\n".join([*statements, ""]), text=True, check=False, capture_output=True)
        refused = [program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{port}", "-unobody", "-psecret", "--skip-ssl", "-e", "SELECT 1"]
        assert subprocess.run(refused, check=False, capture_output=True).returncode == 1
    rows = seen.rows("mysql")
    theirs = Counter(statement.split()[0] for statement in statements)
    ours = Counter(row["operation"] for row in rows if row["operation"] != "CONNECT" and "@@version_comment" not in str(row["target"]) and "DATABASE()" not in str(row["target"]))
    assert ours == theirs
    assert Counter(failed(rows)) == {"1062": 20, "1146": 1, "1045": 1}
    assert not any("secret" in str(row) for row in rows)
    proven("protocol", "mysql", f"MariaDB {version(serve[0], '--version')}", theirs.total())


def test_redis(home: Path) -> None:
    port = free_port()
    serve = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    command = [program("redis-cli"), "-p", str(port)]
    load = [program("redis-benchmark"), "-p", str(port), "-n", "2000", "-P", "16", "-c", "4", "-q", "-t", "set,get,lpush,mset", "-d", "100"]
    with server(serve, port):
        with watched(port, home) as seen:
            subprocess.run(load, check=True, capture_output=True)
            for line in ("LPUSH user:1 secret", "GET user:1", "AUTH secret", "HELLO 3", "HGETALL none"):
                subprocess.run([*command, *line.split()], check=True, capture_output=True)
        stats = subprocess.run([*command, "INFO", "commandstats"], check=True, capture_output=True, text=True).stdout
    theirs = {line.split(":")[0].removeprefix("cmdstat_").split("|")[0].upper(): int(line.split("calls=")[1].split(",")[0]) for line in stats.splitlines() if line.startswith("cmdstat_") and "|" not in line}
    rows = seen.rows("redis")
    ours = Counter(str(row["operation"]).split()[0] for row in rows if " " not in str(row["operation"]))
    theirs.pop("INFO", None)
    assert {name: count for name, count in ours.items() if name in theirs} == theirs
    assert Counter(failed(rows))["WRONGTYPE"] == 1
    assert not any("secret" in str(row) for row in rows)
    proven("protocol", "redis", f"Redis {version(serve[0], '--version')}, redis-benchmark", sum(theirs.values()))


def exchange(port: int, said: bytes, until: bytes) -> bytes:
    """What a server answers, up to `until`."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(20)
        connection.sendall(said)
        answer = b""
        while not answer.endswith(until):
            answer += connection.recv(65_536)
        return answer


def test_memcached(home: Path) -> None:
    port = free_port()
    serve = [program("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0"]
    value = b"secret\r\n" * 40
    with server(serve, port):
        with watched(port, home) as seen:
            said = b"".join(b"set user:%d 0 0 %d\r\n%s\r\n" % (number, len(value), value) for number in range(300))
            exchange(port, said + b"mn\r\n", b"MN\r\n")
            said = b"".join(b"get user:%d user:%d\r\n" % (number, number + 1) for number in range(100)) + b"mg user:1 v\r\nmg none v q\r\nmn\r\nincr user:1 1\r\nquit\r\n"
            exchange(port, said, b"non-numeric value\r\n")
        stats = exchange(port, b"stats\r\n", b"END\r\n").decode()
    counted = {line.split()[1]: int(line.split()[2]) for line in stats.splitlines() if line.startswith(("STAT cmd_get ", "STAT cmd_set ", "STAT cmd_meta "))}
    ours = Counter(seen.operations("memcached"))
    assert (ours["set"], ours["get"], ours["mg"], ours["mn"], ours["incr"]) == (counted["cmd_set"], 100, 2, 2, 1)
    assert failed(seen.rows("memcached")) == ["CLIENT_ERROR"]
    assert not any("secret" in str(row) for row in seen.rows("memcached"))
    proven("protocol", "memcached", f"memcached {version(serve[0], '--version')}", sum(ours.values()))


def test_mqtt(home: Path) -> None:
    port = free_port()
    (home / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    lines = "".join(f"secret {number}\n" for number in range(200))
    target = ["-h", "127.0.0.1", "-p", str(port), "-t", "orders/new"]
    with server([program("mosquitto"), "-c", str(home / "conf")], port), watched(port, home) as seen:
        for protocol, quality in (("mqttv31", "0"), ("mqttv311", "1"), ("mqttv5", "2")):
            options = [*target, "-V", protocol, "-q", quality]
            with subprocess.Popen([program("stdbuf"), "-oL", program("mosquitto_sub"), *options, "-q", "1", "-C", "200", "-d"], stdout=subprocess.PIPE, text=True) as subscriber:
                assert subscriber.stdout and any("SUBACK" in line for line in subscriber.stdout)
                subprocess.run([program("mosquitto_pub"), *options, "-l"], input=lines, text=True, check=True)
                subscriber.communicate(timeout=30)
    ours = Counter(seen.operations("mqtt"))
    assert (ours["connect"], ours["subscribe"], ours["publish"], ours["deliver"]) == (6, 3, 600, 600)
    qualities = Counter(row["attributes"]["pulka.mqtt.qos"] for row in seen.rows("mqtt") if row["operation"] == "publish")  # type: ignore[index]
    assert qualities == {"0": 200, "1": 200, "2": 200}
    assert failed(seen.rows("mqtt")) == []
    proven("protocol", "mqtt", f"mosquitto {version(program('mosquitto'), '-h')}: 3.1, 3.1.1 and 5", sum(ours.values()))


def test_nats(home: Path) -> None:
    port = free_port()
    payload = b"secret" * 300
    connect = b'CONNECT {"verbose":false,"pass":"secret","headers":true,"no_responders":true}\r\nPING\r\n'
    published = b"".join(b"PUB orders.%d.new %d\r\n%s\r\n" % (number, len(payload), payload) for number in range(500))
    asked = b"".join(b"PUB nobody _INBOX.a.%d 2\r\nhi\r\n" % number for number in range(50))
    with server([program("nats-server"), "-a", "127.0.0.1", "-p", str(port)], port), watched(port, home) as seen:
        subscribed = b"SUB orders.*.new 1\r\nSUB _INBOX.a.* 2\r\nSUB last 3\r\n"
        answer = exchange(port, connect + subscribed + published + asked + b"PUB last 3\r\nend\r\n", b"end\r\n")
    ours = Counter(seen.operations("nats"))
    assert (ours["publish"], ours["request"], ours["subscribe"], ours["CONNECT"]) == (501, 50, 3, 1)
    assert ours["deliver"] == answer.count(b"\nMSG ") == 501
    assert Counter(row["error"] for row in seen.rows("nats") if row["error"]) == {"no_responders": 50}
    assert not any("secret" in str(row) for row in seen.rows("nats"))
    proven("protocol", "nats", f"nats-server {version(program('nats-server'), '--version')}", sum(ours.values()))


def test_amqp(home: Path) -> None:
    port, names = free_port(), str(free_port())
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "RABBITMQ_NODENAME": f"pulka{port}@localhost", "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"), "RABBITMQ_LOG_BASE": str(home / "log"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"), "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": names, "ERL_EPMD_ADDRESS": "127.0.0.1",
    }  # fmt: skip
    broker = program("/usr/lib/rabbitmq/bin/rabbitmq-server")
    try:
        amqp_exchanges(home, port, broker, environment)
    finally:
        subprocess.run([program("epmd"), "-port", names, "-kill"], check=False, capture_output=True)  # which the broker started, and leaves behind


def amqp_exchanges(home: Path, port: int, broker: str, environment: dict[str, str]) -> None:
    url = ["-u", f"amqp://guest:guest@127.0.0.1:{port}"]
    with server([broker], port, env=environment), watched(port, home) as seen:
        subprocess.run([program("amqp-declare-queue"), *url, "-q", "orders"], check=True, capture_output=True)
        for _ in range(10):
            subprocess.run([program("amqp-publish"), *url, "-r", "orders", "-b", "secret" * 5000], check=True, capture_output=True)
        subprocess.run([program("amqp-publish"), *url, "-r", "orders", "-l"], input="secret\n" * 50, text=True, check=True, capture_output=True)
        for _ in range(5):
            subprocess.run([program("amqp-get"), *url, "-q", "orders"], check=True, capture_output=True)
        subprocess.run([program("amqp-consume"), *url, "-q", "orders", "-c", "20", "cat"], check=True, capture_output=True)
        assert subprocess.run([program("amqp-get"), *url, "-q", "gone"], check=False, capture_output=True).returncode != 0
    rows = seen.rows("amqp")
    ours = Counter(row["operation"] for row in rows)
    assert (ours["connect"], ours["publish"], ours["get"], ours["queue.declare"], ours["consume"]) == (19, 60, 6, 1, 1)
    assert sum(row["operation"] == "deliver" and row["initiator"] == "server" for row in rows) >= 20
    assert failed(rows) == ["404"]
    assert not any("secret" in str(row) for row in rows)
    proven("protocol", "amqp", f"RabbitMQ {version('dpkg-query', '-W', 'rabbitmq-server')}", sum(ours.values()))
