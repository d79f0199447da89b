"""Ten log queries over the same sorted Parquet files: total CPU of Pulka's server beside DuckDB, Polars, chDB and bare DataFusion.

Pulka answers over HTTP from its own fragments; the peers read these very files, each in a process of its own. Every answer is
compared with DuckDB's. The best of `--rounds` runs of each query counts, as CPU-seconds.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys

from data import bodies, logs
from server import Server, server
from table import markdown

QUERIES = {
    "needle": "SELECT count(*) AS n FROM {t} WHERE message LIKE '%payment 4711 authorised%'",
    "substring": "SELECT count(*) AS n FROM {t} WHERE message LIKE '%connection reset%'",
    "trace id": "SELECT count(*) AS n FROM {t} WHERE trace_id = '{trace}'",
    "errors by service": "SELECT service, count(*) AS n FROM {t} WHERE severity = 'ERROR' GROUP BY service ORDER BY n DESC, service LIMIT 10",
    "one service": "SELECT count(*) AS n FROM {t} WHERE service = 'web-3' AND severity = 'ERROR'",
    "count by severity": "SELECT severity, count(*) AS n FROM {t} GROUP BY severity ORDER BY severity",
    "histogram": "SELECT date_trunc('minute', timestamp) AS m, count(*) AS n FROM {t} WHERE service = 'api-5' GROUP BY 1 ORDER BY 1",
    "newest 100": "SELECT timestamp, message FROM {t} WHERE severity = 'ERROR' ORDER BY timestamp DESC LIMIT 100",
    "distinct traces": "SELECT count(DISTINCT trace_id) AS n FROM {t} WHERE service = 'db-1'",
    "slowest mean": "SELECT service, avg(duration_ms) AS mean FROM {t} GROUP BY service ORDER BY mean DESC LIMIT 5",
}

RUNNER = '''
import json, resource, sys
files, queries, rounds, engine = json.loads(sys.argv[1])
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
if engine == "duckdb":
    import duckdb
    c = duckdb.connect(); c.execute("SET threads=2"); c.execute("SET TimeZone='UTC'")
    c.execute(f"CREATE VIEW logs AS SELECT * REPLACE (timestamp::TIMESTAMP_NS AS timestamp) FROM read_parquet({files!r}, union_by_name=true)")
    run = lambda q: c.execute(q).to_arrow_table().to_pylist()
elif engine == "polars":
    import polars as pl
    c = pl.SQLContext(logs=pl.scan_parquet(files, missing_columns="insert", extra_columns="ignore"))
    run = lambda q: c.execute(q, eager=True).rows()
elif engine == "chdb":
    from chdb import session
    c = session.Session()
    whole = " UNION ALL ".join(f"SELECT * FROM file('{f}', Parquet)" for f in files)
    run = lambda q: c.query(q.replace("FROM logs", f"FROM ({whole})"), "JSONCompact").bytes()
else:
    from datafusion import SessionConfig, SessionContext
    c = SessionContext(SessionConfig().set("datafusion.execution.parquet.pushdown_filters", "true").set("datafusion.execution.parquet.reorder_filters", "true").with_target_partitions(2))
    one = [c.read_parquet(f) for f in files]
    whole = one[0]
    for more in one[1:]: whole = whole.union(more)
    c.register_view("logs", whole)
    run = lambda q: c.sql(q).collect()
answer = {}
for name, q in queries.items():
    best = None
    try:
        for _ in range(rounds):
            before = cpu(); rows = run(q); used = cpu() - before
            best = used if best is None else min(best, used)
        answer[name] = (best, [{k: str(v) if hasattr(v, "year") else v for k, v in row.items()} for row in rows] if engine == "duckdb" else None)
    except Exception as error:
        answer[name] = (None, str(error)[:100])
print(json.dumps(answer))
'''


def ours(lake: Server, queries: dict[str, str], rounds: int) -> dict[str, float]:
    """Best CPU-seconds of each query."""
    best: dict[str, float] = {}
    for name, sql in queries.items():
        for _ in range(rounds):
            before = lake.cpu_s()
            for _ in range(3):  # the kernel counts CPU in ticks of 10 ms: three in one reading
                lake.query(sql, "ndjson")
            used = (lake.cpu_s() - before) / 3
            best[name] = min(best.get(name, used), used)
    return best


Answers = dict[str, tuple[float | None, list[dict[str, object]] | str | None]]


def _compare(lake: Server, queries: dict[str, str], oracle: Answers) -> None:
    """Every answer is DuckDB's."""
    for name, (used, expected) in oracle.items():
        assert used is not None, f"DuckDB fails at {name}: {expected}"
        rows = json.loads(lake.query(queries[name]))["rows"]
        assert [_plain(row) for row in rows] == [_plain(row) for row in expected], name


def _plain(row: dict[str, object]) -> dict[str, object]:
    """Times to the microsecond and floats to nine digits, as both sides print them."""
    times = {k: re.sub(r"[TZ]|\+00:00|\.0+(?=Z|\+|$)", " ", str(v)).strip()[:26] for k, v in row.items() if k in ("timestamp", "m")}
    return {k: times.get(k) or (float(f"{v:.9g}") if isinstance(v, float) else v) for k, v in row.items()}


def peer(engine: str, files: list[str], queries: dict[str, str], rounds: int) -> Answers:
    """Best CPU-seconds of each query in a process of its own; empty when the peer is not installed."""
    if importlib.util.find_spec(engine) is None:
        return {}
    command = [sys.executable, "-c", RUNNER, json.dumps([files, queries, rounds, engine])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def main() -> None:
    """Load, compact, ask."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=4_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with server(flush_age_s=5, compaction_idle_s=6, query_rows=1000) as lake:
        lake.send("/api/v1/ingest/logs", bodies(logs(given.rows)))
        lake.settle()
        files = lake.fragments()
        trace = json.loads(lake.query("SELECT trace_id FROM logs LIMIT 1"))["rows"][0]["trace_id"]
        queries = {name: sql.replace("{t}", "logs").replace("{trace}", trace) for name, sql in QUERIES.items()}
        mine = ours(lake, queries, given.rounds)
        peers = {engine: peer(engine, files, queries, given.rounds) for engine in ("duckdb", "polars", "chdb", "datafusion")}
        _compare(lake, queries, peers["duckdb"])
    _print(given.rows, len(files), mine, peers)


def _print(rows: int, files: int, mine: dict[str, float], peers: dict[str, Answers]) -> None:
    table: list[list[object]] = []
    for name in QUERIES:
        cells = [_ms(peers[engine].get(name, (None, None))[0]) for engine in peers]
        table.append([name, _ms(mine[name]), *cells])
    totals = [sum(v[0] for v in p.values() if v[0]) if p and all(v[0] for v in p.values()) else None for p in peers.values()]
    table.append(["**total**", f"**{_ms(sum(mine.values()))}**", *(_ms(total) for total in totals)])
    print(markdown(f"Ten queries over {rows:,} rows in {files} fragments, CPU ms", ["query", "pulka", *peers], table))


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


if __name__ == "__main__":
    main()
