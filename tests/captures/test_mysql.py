"""MySQL as tshark and Zeek see it."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions
from tests.captures.wire import decoded_as

# Commands that are answered, by number; others (QUIT, CLOSE) are no transactions. All other operations are queries.
NAMES = {
    2: "USE", 4: "FIELD_LIST", 5: "CREATE_DB", 6: "DROP_DB", 7: "REFRESH", 8: "SHUTDOWN", 9: "STATISTICS", 12: "PROCESS_KILL", 14: "PING", 17: "CHANGE_USER",
    22: "PREPARE", 26: "STMT_RESET", 27: "SET_OPTION", 31: "RESET_CONNECTION",
}  # fmt: skip
UNANSWERED = {1, 24, 25}


def commands(capture: Capture) -> list[str]:
    return [row["operation"] if row["operation"] in NAMES.values() else "query" for row in transactions(capture, "mysql") if row["operation"] != "CONNECT"]


@pytest.mark.tshark
def test_commands_logins_and_errors() -> None:
    agreement = Agreement("mysql")
    for capture in captures("mysql"):
        rows = decoded_as(capture, "mysql", "mysql", "mysql", "mysql.command", "mysql.error_code")
        theirs = [NAMES.get(int(command), "query") for row in rows for command in row["mysql.command"] if int(command) not in UNANSWERED]
        agreement.add(capture, commands(capture), theirs)
        ours = transactions(capture, "mysql")
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (code for row in rows for code in row["mysql.error_code"]))
    agreement.check()


def zeek_rows(capture: Capture) -> list[dict[str, str]]:
    log = capture.path.with_suffix(".baseline") / "mysql.log"
    if not log.exists():
        return []
    lines = log.read_text().splitlines()
    header = next(line.split("\t")[1:] for line in lines if line.startswith("#fields"))
    return [dict(zip(header, line.split("\t"), strict=False)) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("capture", [one for one in captures("mysql") if zeek_rows(one)], ids=str)
def test_as_zeek(capture: Capture) -> None:
    """`quit` is no transaction of ours; a host that is refused before it says anything is none of Zeek's."""
    names = {"login": "CONNECT", "init_db": "USE", "field_list": "FIELD_LIST"}
    rows = [row for row in zeek_rows(capture) if row["cmd"] not in ("quit", "tls")]
    theirs = sorted((names.get(row["cmd"], "query"), row["success"] == "T") for row in rows if row["success"] != "-")
    ours = [(row["operation"] if row["operation"] in {"CONNECT", *NAMES.values()} else "query", row["error"] is None) for row in transactions(capture, "mysql") if row["request_bytes"]]
    assert sorted(ours) == theirs
