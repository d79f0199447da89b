"""PostgreSQL as tshark, Zeek and DeepFlow see it."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions
from tests.captures.wire import decoded_as

LOGIN, AUXILIARY = "CONNECT", {"PREPARE", "NOTIFY", "CANCEL"}


def statements(capture: Capture) -> list[str]:
    return [row["operation"] for row in transactions(capture, "postgresql") if row["operation"] not in {LOGIN, *AUXILIARY}]


@pytest.mark.tshark
def test_statements_logins_and_errors() -> None:
    agreement = Agreement("postgresql")
    for capture in captures("postgresql"):
        rows = decoded_as(capture, "postgresql", "pgsql", "pgsql", "pgsql.type", "pgsql.code")
        kinds = [kind for row in rows for value in row["pgsql.type"] for kind in value.split(",")]
        ours = transactions(capture, "postgresql")
        executed = [kind for kind in kinds if kind in ("Simple query", "Execute")]
        agreement.add(capture, ["statement"] * len(statements(capture)), ["statement"] * len(executed))
        agreement.add(capture, ["login"] * sum(row["operation"] == LOGIN for row in ours), ["login"] * kinds.count("Startup message"))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (code for row in rows for code in row["pgsql.code"] if code != "00000"))
    agreement.check()


def zeek_rows(capture: Capture) -> list[dict[str, str]]:
    log = capture.path.with_suffix(".baseline") / "postgresql.cut"
    if not log.exists():
        return []
    header, *lines = [line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#")]
    return [dict(zip(header, line, strict=False)) for line in lines]


@pytest.mark.parametrize("capture", [one for one in captures("postgresql") if zeek_rows(one)], ids=str)
def test_as_zeek(capture: Capture) -> None:
    rows = zeek_rows(capture)
    queries = [row["frontend_arg"].split()[0].upper() for row in rows if row["frontend"] == "simple_query"]
    assert statements(capture) == queries
    logins = [(row["success"] == "T") for row in rows if row["frontend"] == "startup" and row["success"] != "-"]
    ours = [row["error"] is None for row in transactions(capture, "postgresql") if row["operation"] == LOGIN and row["error"] != "no_response"]
    assert ours == logins
