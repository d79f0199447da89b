"""What compaction by locality is worth: needle, word and trace-id lookups over 20M log lines, before and after it.

Five hours of log lines are loaded and left as the writer flushed them; queries are asked. Then the same store is merged, and the
same queries are asked again. Every answer is compared with DuckDB's over the same files. Latencies are wall time over HTTP, the
median of `--rounds`; CPU is the server's per query; the funnel is what each means of pruning removed of the fragments.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator

from data import bodies, logs
from peers import peer
from server import Server, server
from table import markdown

HOURS = 5
UNMERGED = {"compaction_inputs": 1000, "compaction_idle_s": 36_000}
SELECT = "SELECT count(*) AS n FROM logs WHERE "
WHERE = {
    "service and hour": "service = 'web-3' AND timestamp >= '2026-01-01T02:00:00Z' AND timestamp < '2026-01-01T03:00:00Z'",
    "service, all time": "service = 'web-3' AND severity = 'ERROR'",
    "needle of a service": "service = 'web-3' AND message LIKE '% payment 4711 authorised %'",
    "needle": "message LIKE '%payment 4711 authorised%'",
    "word nobody wrote": "message LIKE '% zebra %'",
    "trace id": "trace_id = '{trace}'",
    "trace id of the hour": "trace_id = '{trace}' AND timestamp >= '2026-01-01T02:00:00Z' AND timestamp < '2026-01-01T03:00:00Z'",
}


def main() -> None:
    """Load, ask, merge by locality, ask again."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=4_000_000, help="of each of the five hours")
    arguments.add_argument("--rounds", type=int, default=7)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="pulka-bench-") as state:
        with server(state, flush_age_s=5, **UNMERGED) as lake:
            for hour in range(HOURS):
                lake.send("/api/v1/ingest/logs", list(_hour(bodies(logs(given.rows)), hour)))
            lake.settle(1800)
            trace = json.loads(lake.query("SELECT max(trace_id) AS t FROM logs WHERE service = 'db-1' AND extract(hour FROM timestamp) = 2"))["rows"][0]["t"]
            queries = {name: SELECT + where.replace("{trace}", trace) for name, where in WHERE.items()}
            before, stored_before = _measured(lake, queries, given.rounds), _stored(lake)
        with server(state, compaction_idle_s=6, compaction_cpu_share=1) as lake:
            began = lake.cpu_s()
            lake.settle(1800, quiet_s=60)
            used = lake.cpu_s() - began
            after, stored_after = _measured(lake, queries, given.rounds), _stored(lake)
    print(markdown(f"{HOURS * given.rows:,} rows before and after compaction", _COLUMNS, [[name, *before[name], *after[name]] for name in queries]))
    print(f"Stored bytes: {stored_before / 1e6:.0f} MB before, {stored_after / 1e6:.0f} MB after; the merges took {used:.0f} CPU-seconds.")


_COLUMNS = [f"{what}, {when}" if what else "query" for what, when in [("", "")] + [(w, t) for t in ("before", "after") for w in ("ms", "CPU ms", "fragments read", "pruned by")]]


def _hour(pieces: list[bytes], hour: int) -> Iterator[bytes]:
    """The same lines an hour later, of other traces."""
    for piece in pieces:
        yield piece.replace(b'"2026-01-01T00:', b'"2026-01-01T%02d:' % hour).replace(b'","http":', b'%d","http":' % hour)


def _measured(lake: Server, queries: dict[str, str], rounds: int) -> dict[str, list[object]]:
    """Cells of each query, after its answer is DuckDB's."""
    oracle = peer("duckdb", lake.files(), queries, 1)
    cells: dict[str, list[object]] = {}
    for name, sql in queries.items():
        answer = json.loads(lake.query(sql))
        expected = oracle[name].answer.to_pylist()
        assert answer["rows"] == expected, f"{name}: {answer['rows']} by Pulka, {expected} by DuckDB"
        cells[name] = [*_times(lake, sql, rounds), *_funnel(lake, sql)]
    return cells


def _times(lake: Server, sql: str, rounds: int) -> tuple[str, str]:
    """Median wall milliseconds, and CPU milliseconds of a run."""
    taken, before = [], lake.cpu_s()
    for _ in range(rounds):
        began = time.monotonic()
        lake.query(sql, "ndjson")
        taken.append(time.monotonic() - began)
    return f"{statistics.median(taken) * 1000:.0f}", f"{(lake.cpu_s() - before) / rounds * 1000:.0f}"


def _funnel(lake: Server, sql: str) -> tuple[str, str]:
    """Fragments that are read, and what removed the others."""
    answer = json.loads(lake.request("POST", "/api/v1/explain", json.dumps({"sql": sql}).encode(), {"Content-Type": "application/json"}))
    (funnel,) = answer["tables"]
    pruned = ", ".join(f"{means} {number}" for means, number in funnel["pruned"].items() if number)
    return f"{funnel['scanned']} of {funnel['fragments_total']} ({1 - funnel['scanned'] / funnel['fragments_total']:.0%} skipped)", pruned or "-"


def _stored(lake: Server) -> float:
    return float(lake.tables()["logs"]["bytes"])


if __name__ == "__main__":
    main()
