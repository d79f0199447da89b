"""Redis as tshark and Zeek see it."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions
from tests.captures.wire import decoded_as, from_clients, server_ports

PUSHES = {"MESSAGE", "PMESSAGE", "SMESSAGE"}


def commands(capture: Capture) -> list[str]:
    return [row["operation"].split()[0] for row in transactions(capture, "redis") if row["operation"] not in PUSHES]


def sent(row: dict[str, list[str]]) -> list[str]:
    """First words of the arrays in a packet: arrays of commands do not nest."""
    words, names = iter(row["resp.bulk_string.value"]), []
    for length in row["resp.array.length"]:
        command = [next(words, "") for _ in range(int(length))]
        names.append(bytes.fromhex(command[0]).decode().upper() if command[0].isalnum() and _is_hex(command[0]) else command[0].upper())
    return names


def _is_hex(text: str) -> bool:
    try:
        return bytes.fromhex(text).isascii() and bytes.fromhex(text).decode().isprintable()
    except ValueError:
        return False


@pytest.mark.tshark
def test_commands_and_errors() -> None:
    """Inline commands are fragments for tshark, so captures that hold them are left to Zeek."""
    agreement = Agreement("redis")
    for capture in captures("redis"):
        rows = decoded_as(capture, "redis", "resp", "resp", "resp.array.length", "resp.bulk_string.value", "resp.error", "resp.fragment")
        if any(row["resp.fragment"] for row in from_clients(rows, server_ports(capture, "redis"))):
            continue
        theirs = [name for row in from_clients(rows, server_ports(capture, "redis")) for name in sent(row)]
        agreement.add(capture, commands(capture), theirs)
        agreement.add(capture, (row["status"] for row in transactions(capture, "redis") if row["status"]), (error.split()[0] for row in rows for error in row["resp.error"]))
    agreement.check()


def zeek_commands(capture: Capture) -> list[tuple[str, bool]]:
    log = capture.path.with_suffix(".baseline") / "redis.log"
    if not log.exists():
        return []
    lines = log.read_text().splitlines()
    header = next(line.split("\t")[1:] for line in lines if line.startswith("#fields"))
    rows = [dict(zip(header, line.split("\t"), strict=False)) for line in lines if not line.startswith("#")]
    return [(row["cmd.name"], row["success"] != "F") for row in rows]


@pytest.mark.parametrize("capture", [one for one in captures("redis") if zeek_commands(one)], ids=str)
def test_as_zeek(capture: Capture) -> None:
    ours = [(row["operation"].split()[0], row["error"] is None) for row in transactions(capture, "redis") if row["operation"] not in PUSHES]
    assert sorted(ours) == sorted(zeek_commands(capture))


def test_bulk_loading_and_passwords_as_zeek() -> None:
    """Zeek's scripts print what they saw: each SET, each AUTH and whether it succeeded."""
    for capture in captures("redis"):
        output = capture.path.with_suffix(".baseline") / "output"
        if capture.path.stem == "bulk-loading":
            assert commands(capture).count("SET") == output.read_text().count("SET:")
        if capture.path.stem == "auth":
            logins = [row["error"] for row in transactions(capture, "redis") if row["operation"] == "AUTH"]
            assert [error is None for error in logins] == ["succeeded" in line for line in output.read_text().splitlines() if line.startswith("Auth ")]


def test_no_password_leaves_the_decoder() -> None:
    shown = [str(row) for capture in captures("redis") for row in transactions(capture, "redis")]
    assert not any(secret in row for row in shown for secret in ("notapassword", "defaultpassword", "notauser"))
