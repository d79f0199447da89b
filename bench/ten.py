"""Ten log queries over 4M log lines: total CPU of Pulka's server beside DuckDB, Polars, chDB and bare DataFusion on the same sorted Parquet files.

What `query.py` does, with less data and one field of each kind. Every answer is compared with DuckDB's.
"""

import argparse

from data import bodies, logs
from measure import ours
from peers import PEERS, peer
from queries import Query, said
from query import differences, report
from server import server

QUERIES = [
    Query("needle", "SELECT count(*) AS n FROM logs WHERE message LIKE '%payment 4711 authorised%'"),
    Query("substring", "SELECT count(*) AS n FROM logs WHERE message LIKE '%connection reset%'"),
    Query("trace id", "SELECT count(*) AS n FROM logs WHERE trace_id = '{trace}'"),
    Query("errors by service", "SELECT service, count(*) AS n FROM logs WHERE severity = 'ERROR' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("one service", "SELECT count(*) AS n FROM logs WHERE service = 'web-3' AND severity = 'ERROR'"),
    Query("count by severity", "SELECT severity, count(*) AS n FROM logs GROUP BY severity ORDER BY severity"),
    Query("histogram", "SELECT {minute} AS m, count(*) AS n FROM logs WHERE service = 'api-5' GROUP BY 1 ORDER BY 1"),
    Query("newest 100", "SELECT timestamp, message FROM logs WHERE severity = 'ERROR' ORDER BY timestamp DESC LIMIT 100"),
    Query("distinct traces", "SELECT count(DISTINCT trace_id) AS n FROM logs WHERE service = 'db-1'"),
    Query("slowest mean", "SELECT service, avg(duration_ms) AS mean FROM logs GROUP BY service ORDER BY mean DESC LIMIT 5"),
]


def main() -> None:
    """Load, compact, ask."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=4_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with server(flush_age_s=5, compaction_idle_s=6, query_rows=1000) as lake:
        lake.send("/api/v1/ingest/logs", bodies(logs(given.rows)))
        lake.settle()
        files = lake.files()
        trace = ours(lake, {"any": "SELECT max(trace_id) AS t FROM logs"}, 1)["any"].answer["t"][0].as_py()
        answers = {"pulka": ours(lake, {query.name: said(query, "pulka", trace) for query in QUERIES}, given.rounds, lake.fragments())}
        for engine in PEERS:
            answers[engine] = peer(engine, files, {query.name: said(query, engine, trace) for query in QUERIES}, given.rounds, cold=True)
    wrong = list(differences(QUERIES, answers, {}, {}))
    print(report(given.rows, files, QUERIES, answers, {}, {}))
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    main()
