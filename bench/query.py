"""Forty-odd log and trace queries over 20M log lines and 4M spans: Pulka's server beside DuckDB, Polars and chDB on the same Parquet files.

Every answer of every engine is compared with DuckDB's. Pulka answers over HTTP from its own fragments, the peers read these very files, each
in a process of its own with two threads. Cold is the first run after `posix_fadvise` dropped the files from the page cache, in a process
that has answered other queries; hot is the best of `--rounds` runs after it. Two questions that SQL has no words for stand at the end.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

import incident
from answers import differ, plain
from measure import Asked, Used, measured, ours
from peers import Files, peer
from queries import QUERIES, Query, said
from server import Server, server
from table import markdown

ENGINES = ("duckdb", "polars", "chdb")
_MINUTES = {"start": "2026-01-01T03:10:00Z", "end": "2026-01-01T03:20:00Z"}
_HOUR = {"start": "2026-01-01T02:10:00Z", "end": "2026-01-01T03:10:00Z"}
QUESTIONS = {
    "compare the minutes with the hour before": ("/api/v1/compare", {"selection": _MINUTES, "baseline": _HOUR}),
    "patterns of a service's errors": ("/api/v1/patterns", {"where": "service = 'api-5' AND severity = 'ERROR'"}),
}


def main() -> None:
    """Load once, ask everybody, compare, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lines", type=int, default=20_000_000, help="log lines; the data set is kept in ~/.cache/pulka/bench, 3 GB with the default")
    arguments.add_argument("--again", action="store_true", help="make the data set again, as after a change of the fragments")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--no-cold", action="store_true", help="leave out the runs with an empty page cache")
    arguments.add_argument("--only", default="", help="queries whose name has this text")
    arguments.add_argument("--engines", default=",".join(ENGINES))
    given = arguments.parse_args()
    queries = [query for query in QUERIES if given.only in query.name]
    trace = incident.some_trace(given.lines)
    with server(str(incident.kept(given.lines, again=given.again)), search_bytes_max=64 << 20) as lake:
        files = lake.files()
        everything = [] if given.no_cold else lake.fragments()
        answers = {"pulka": ours(lake, {query.name: said(query, "pulka", trace) for query in queries}, given.rounds, everything)}
        questions = {name: asked(lake, everything, *question, given.rounds) for name, question in QUESTIONS.items() if given.only in name}
    for engine in filter(None, given.engines.split(",")):
        answers[engine] = peer(engine, files, {query.name: said(query, engine, trace) for query in queries}, given.rounds, cold=not given.no_cold)
    least, most = (peer("duckdb", files, {query.name: said(query, dialect, trace) for query in queries if query.approximate}, 1) for dialect in ("least", "most"))
    wrong = list(differences(queries, answers, least, most))
    print(report(given.lines, files, queries, answers, questions))
    assert not wrong, "\n".join(wrong)


def asked(lake: Server, files: Sequence[str], path: str, body: dict[str, object], rounds: int) -> Asked:
    """Ask Pulka a question that is no SQL."""
    ask = lambda: json.loads(lake.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}))  # noqa: E731
    return measured(ask, lake.cpu_s, rounds, files)


def differences(queries: Sequence[Query], answers: dict[str, dict[str, Asked]], least: dict[str, Asked], most: dict[str, Asked]) -> Iterator[str]:
    """What is not DuckDB's answer, in words; of approximate ones, what is not between two of its answers."""
    for query in queries:
        low, high = (bound.get(query.name) or answers["duckdb"][query.name] for bound in (least, most))
        for engine, found in answers.items():
            if query.name in found:
                one = found[query.name]
                wrong = one.error or low.error or differ(plain(one.answer), plain(low.answer), plain(high.answer))
                if wrong:
                    yield f"{query.name}: {engine}: {wrong}"


def report(lines: int, files: Files, queries: Sequence[Query], answers: dict[str, dict[str, Asked]], questions: dict[str, Asked]) -> str:
    """Two tables: each query hot, and all of them cold and hot."""
    engines = list(answers)
    rows = [[query.name, *(_ms(_hot(answers[engine].get(query.name))) for engine in engines), _ratio(query.name, answers)] for query in queries]
    rows += [[name, _ms(one.hot), *["-"] * (len(engines) - 1), "-"] for name, one in questions.items()]
    title = f"{len(queries)} queries over {lines:,} lines, {sum(map(len, files.values()))} files, hot: CPU ms"
    totals = [[engine, *_totals(queries, answers, engine)] for engine in engines]
    columns = ["all of them", "CPU ms cold", "wall ms cold", "CPU ms hot", "wall ms hot"]
    return markdown(title, ["query", *engines, "pulka / best peer"], rows) + "\n" + markdown("Totals of the queries that all could answer", columns, totals)


def _hot(one: Asked | None) -> Used | None:
    return None if one is None else one.hot


def _totals(queries: Sequence[Query], answers: dict[str, dict[str, Asked]], engine: str) -> list[str]:
    common = [query.name for query in queries if all(_hot(found.get(query.name)) for found in answers.values())]
    found = [answers[engine][name] for name in common]
    runs = [(one.cold, lambda used: used.cpu_s) for one in found], [(one.cold, lambda used: used.wall_s) for one in found]
    runs += [(one.hot, lambda used: used.cpu_s) for one in found], [(one.hot, lambda used: used.wall_s) for one in found]
    return [f"{sum(of(used) for used, of in column if used) * 1000:.0f}" for column in runs]


def _ratio(name: str, answers: dict[str, dict[str, Asked]]) -> str:
    mine = _hot(answers["pulka"][name])
    peers = [used.cpu_s for engine, found in answers.items() if engine != "pulka" and (used := _hot(found.get(name)))]
    return f"{mine.cpu_s / min(peers):.2f}" if mine and peers else "-"


def _ms(used: Used | None) -> str:
    return "-" if used is None else f"{used.cpu_s * 1000:.0f}"


if __name__ == "__main__":
    main()
