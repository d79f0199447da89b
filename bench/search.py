"""Searching 4M log lines: CPU of one query, by Pulka with and without its search scan, beside DuckDB and Polars over the same files.

Pulka answers over HTTP from its own fragments. Every answer is compared between all of them. The best of `--rounds` runs
of each query counts, as CPU-seconds; the last column is what the search scan really read.
"""

import argparse
import json
import tempfile

from data import bodies, logs
from measure import Asked, ours
from peers import peer
from server import Server, server
from table import markdown

WHERE = {
    "absent word": "message LIKE '% zebra %'",
    "rare words": "message LIKE '%payment 4711 authorised%'",
    "rare words, any case": "message ILIKE '%PAYMENT 4711 authorised%'",
    "rare part of a word": "message LIKE '%users/4711%'",
    "part of a word": "message LIKE '%/4711%'",
    "common words": "message LIKE '%connection reset%'",
    "trace id": "trace_id = '{trace}'",
    "service and word": "service = 'web-3' AND message LIKE '% 4711 %'",
}
SELECT = "SELECT count(*) AS n FROM logs WHERE "


def main() -> None:
    """Load, compact, ask; then ask again without the search scan."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=4_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="pulka-bench-") as state:
        with server(state, flush_age_s=5, compaction_idle_s=6) as lake:
            lake.send("/api/v1/ingest/logs", bodies(logs(given.rows)))
            lake.settle()
            files = lake.fragments()
            trace = json.loads(lake.query("SELECT trace_id FROM logs LIMIT 1"))["rows"][0]["trace_id"]
            queries = {name: SELECT + where.replace("{trace}", trace) for name, where in WHERE.items()}
            searched, told = ours(lake, queries, given.rounds), {name: _answer(lake, sql) for name, sql in queries.items()}
        with server(state, search_bytes_max=0) as lake:
            scanned = ours(lake, queries, given.rounds)
            plain = {name: _answer(lake, sql)["rows"] for name, sql in queries.items()}
        peers = {engine: peer(engine, {"logs": files}, queries, given.rounds) for engine in ("duckdb", "polars")}
    assert plain == {name: answer["rows"] for name, answer in told.items()}, "the search scan changes an answer"
    for name, asked in peers["duckdb"].items():
        assert asked.answer.to_pylist() == plain[name], f"{name}: {asked.answer} by DuckDB, {plain[name]} by Pulka"
    rows = [
        [name, *(_ms(one.get(name)) for one in (searched, scanned, *peers.values())), _read(told[name]["stats"])]
        for name in queries
    ]  # fmt: skip
    title = f"Searches of {given.rows:,} rows in {len(files)} fragments, CPU ms"
    print(markdown(title, ["query", "pulka", "without search", "duckdb", "polars", "read by the search"], rows))


def _answer(lake: Server, sql: str) -> dict[str, dict[str, object]]:
    return json.loads(lake.query(sql))


def _ms(asked: Asked | None) -> str:
    return "-" if asked is None or asked.hot is None else f"{asked.hot.cpu_s * 1000:.0f}"


def _read(stats: dict[str, object]) -> str:
    left_out = sum(stats["row_groups_pruned"].values())
    return f"{stats['bytes_scanned'] / 1e6:.1f} MB, {stats['row_groups_total'] - left_out} of {stats['row_groups_total']} row groups, {stats['rows_found']} rows"


if __name__ == "__main__":
    main()
