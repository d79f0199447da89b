"""What Zeek's logs and DeepFlow's results, which lie beside some captures, say of them."""

import json
import re

import pytest
from tests.captures.harness import Capture, Transaction, captures, transactions


def zeek(capture: Capture, log: str) -> list[dict[str, str]]:
    """The rows of a Zeek log, by the names in its header."""
    rows: list[dict[str, str]] = []
    names: list[str] = []
    for line in (capture.path.with_suffix(".baseline") / log).read_text().splitlines():
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        elif not line.startswith("#"):
            rows.append(dict(zip(names, line.split("\t"), strict=False)))
    return rows


LOGGED = [capture for capture in captures("dns") if (capture.path.with_suffix(".baseline") / "dns.log").exists()]


@pytest.mark.parametrize("capture", LOGGED, ids=str)
def test_names_types_and_codes_of_zeek(capture: Capture) -> None:
    expected = {
        (row["query"].lower(), row["rcode_name"].replace("-", ""))
        for row in zeek(capture, "dns.log")
        if row["query"] != "-" and row["rcode_name"] != "-" and "update" not in str(capture)  # Zeek logs what is updated, not the zone
    }
    found = {(row["target"], row["status"] or "") for row in transactions(capture, "dns")}
    assert expected <= found


RESULTS = [capture for capture in captures("http1", "http2", "grpc", "dns") if capture.beside(".result")]


def _requests_and_codes(lines: list[str]) -> tuple[set[str], list[str]]:
    """Paths without arguments, and statuses, as DeepFlow prints them; it prints a stream's answer again for its data."""
    seen: dict[str, str] = {}
    paths = set()
    for line in lines:
        stream = re.search(r"stream_id: (?:Some\((\d+)\)|None)", line)
        if path := re.search(r'path: "(/[^"?]*)', line):
            paths.add(path[1])
        if (status := re.search(r"status_code: Some\((\d+)\)", line)) and stream:
            seen[stream[1] or str(len(seen))] = status[1]
    return paths, sorted(seen.values())


def _shown(row: Transaction) -> str:
    return f"/{row['operation']}" if row["protocol"] == "grpc" else row["target"] or ""


@pytest.mark.parametrize("capture", [capture for capture in RESULTS if capture.protocol != "dns"], ids=str)
def test_paths_and_statuses_of_deepflow(capture: Capture) -> None:
    paths, statuses = _requests_and_codes(capture.beside(".result")[0].read_text().splitlines())
    found = transactions(capture, "http1", "http2", "grpc")
    assert paths <= {_shown(row) for row in found}
    assert len(statuses) <= len(found)
    plain = sorted(row["status"] for row in found if row["protocol"] != "grpc" and row["status"])
    assert plain == statuses or any(row["protocol"] == "grpc" for row in found)


@pytest.mark.parametrize("capture", [capture for capture in RESULTS if capture.protocol == "dns"], ids=str)
def test_answers_of_deepflow(capture: Capture) -> None:
    """Times between question and answer, in microseconds."""
    lines = [line.partition("} ")[0] + "}" for line in capture.beside(".result")[0].read_text().splitlines()]
    times = sorted(json.loads(line)["rrt"] for line in lines if '"rrt":' in line and '"rrt":0' not in line)
    assert times == pytest.approx(sorted(row["duration_s"] * 1e6 for row in transactions(capture, "dns") if row["status"]), abs=1)
