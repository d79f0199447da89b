"""Does `compare` name what is broken? 28 faults injected into a shop of 46 pods (Nezha, 2023-01-29), each asked as an operator would.

Selection: the three minutes after an injection. Baseline: every recorded second of the day in which no fault was active, that is the
minute before each injection; the set has no other. Compared within each pod (`by`), logs and spans. A fault counts as found when one
of the first five fields is the faulty pod's. The labels are used for the moments and to judge the answers, nothing else.
"""

import argparse
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data import nezha
from server import Server, server
from table import markdown

POD = "k8s.pod.name"
LOGS = "timestamp_field=TimeUnixNano&timestamp_field=Timestamp&json_field=Log&rename=log=message&rename=Container=container&rename=Node=host"
SPANS = "timestamp_field=StartTimeUnixNano&rename=OperationName=name&rename=ParentID=parent_span_id"
BOTH = f"&rename=PodName={POD}&rename=TraceID=trace_id&rename=SpanID=span_id"
AFTER, BEFORE = timedelta(minutes=3), timedelta(minutes=1)
FIRST = 5


def main() -> None:
    """Load the day, ask about every fault, count."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    folder = nezha()
    if folder is None:
        return
    faults = [one for hour in json.loads((folder / "2023-01-29-fault_list.json").read_text()).values() for one in hour]
    moments = [datetime.strptime(one["inject_time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for one in faults]
    with tempfile.TemporaryDirectory(prefix="pulka-bench-") as state, server(state) as lake:
        for table, options in (("logs", LOGS), ("spans", SPANS)):
            for path in sorted(files(folder, table)):
                lake.request("POST", f"/api/v1/ingest/{table}?{options}{BOTH}", path.read_bytes(), {"Content-Type": "text/csv"})
        before = lake.cpu_s()
        found = [ranks(lake, fault["inject_pod"], at, moments) for fault, at in zip(faults, moments, strict=True)]
        cpu_s = lake.cpu_s() - before
    rows = [[kind, *counts(faults, found, kind)] for kind in ("exception", "return", "cpu_contention", "all")]
    print(markdown(f"Faults whose pod is among the first {FIRST} fields of `compare`, {cpu_s / len(faults) / 2 * 1000:.0f} CPU ms each", ["fault", "by logs", "by spans", "by either", "first of logs"], rows))


def files(folder: Path, table: str) -> list[Path]:
    """The CSV files of a table."""
    return list((folder / {"logs": "log", "spans": "trace"}[table]).glob("*.csv"))


def ranks(lake: Server, pod: str, at: datetime, moments: list[datetime]) -> list[int | None]:
    """Where the first field of the pod stands, in logs and in spans."""
    healthy = " OR ".join(f"(timestamp >= {sql(moment - BEFORE)} AND timestamp < {sql(moment)})" for moment in moments)
    window = {"start": stamp(at), "end": stamp(at + AFTER)}
    outside = f"({healthy}) AND NOT (timestamp >= {sql(at)} AND timestamp < {sql(at + AFTER)})"
    body = {"selection": window, "baseline": {"where": outside}, "by": POD, "limit": 100, "values": 1}
    return [rank(ask(lake, body | {"table": table}), pod) for table in ("logs", "spans")]


def ask(lake: Server, body: dict[str, object]) -> list[dict]:
    """The fields that differ, the largest effect first."""
    return json.loads(lake.request("POST", "/api/v1/compare", json.dumps(body).encode(), {"Content-Type": "application/json"}))["fields"]


def rank(fields: list[dict], pod: str) -> int | None:
    """The place, from 1, of the first field that is the pod's own, or whose value it is."""
    own = (place for place, one in enumerate(fields, 1) if one["group"] == pod or (one["field"] == POD and one["values"][0]["value"] == pod))
    return next(own, None)


def counts(faults: list[dict], found: list[list[int | None]], kind: str) -> list[str]:
    """How many of a kind of fault were found, by each way."""
    own = [ranks for fault, ranks in zip(faults, found, strict=True) if kind in (fault["inject_type"], "all")]
    hit = [[place is not None and place <= FIRST for place in ranks] for ranks in own]
    of = f"of {len(own)}"
    return [f"{sum(one[0] for one in hit)} {of}", f"{sum(one[1] for one in hit)} {of}", f"{sum(map(any, hit))} {of}", f"{sum(one[0] == 1 for one in own)} {of}"]


def sql(moment: datetime) -> str:
    """A literal of SQL."""
    return f"TIMESTAMP '{stamp(moment)}'"


def stamp(moment: datetime) -> str:
    """RFC 3339."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main()
