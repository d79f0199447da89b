"""Forty-odd log and trace queries over 20M log lines and 4M spans: Pulka's server beside DuckDB, Polars and chDB on the same Parquet files.

Every answer of every engine is compared with DuckDB's. Pulka answers over HTTP from its own fragments, the peers read these very files, each
in a process of its own with two threads. Cold is the first run after `posix_fadvise` dropped the files from the page cache, in a process
that has answered other queries; hot is the best of `--rounds` runs after it. Two questions that SQL has no words for stand at the end.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence

import incident
from answers import differ, plain
from measure import Asked, measured, ours
from peers import Files, peer
from queries import GROUPS, QUERIES, Query, said
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
    arguments.add_argument("--lines", type=int, default=20_000_000, help="log lines; the data set is kept in ~/.cache/pulka/bench, 1 GB with the default")
    arguments.add_argument("--again", action="store_true", help="make the data set again, as after a change of the fragments")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--no-cold", action="store_true", help="leave out the runs with an empty page cache")
    arguments.add_argument("--only", default="", help="queries whose name has this text")
    arguments.add_argument("--engines", default=",".join(ENGINES))
    given = arguments.parse_args()
    queries = [query for query in QUERIES if given.only in query.name]
    trace = incident.some_trace(given.lines)
    with server(str(incident.kept(given.lines, again=given.again))) as lake:
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


def report(
    lines: int, files: Files, queries: Sequence[Query], answers: dict[str, dict[str, Asked]], questions: dict[str, Asked],
    groups: Mapping[str, Sequence[Query]] = GROUPS,
) -> str:  # fmt: skip
    """Two tables: each query hot, and sums, cold and hot."""
    columns = [*answers, "pulka / best peer"]
    rows = [[query.name, *_cells(answers, [query.name], "hot", "cpu_s")] for query in queries]
    rows += [[name, _ms(one.hot and one.hot.cpu_s), *["-"] * len(answers)] for name, one in questions.items()]
    title = f"{len(queries)} queries over {lines:,} lines, {sum(map(len, files.values()))} files, hot: CPU ms"
    return markdown(title, ["query", *columns], rows) + "\n" + markdown("Sums of what all could answer", ["", *columns], list(_sums(queries, answers, groups)))


def _sums(queries: Sequence[Query], answers: dict[str, dict[str, Asked]], groups: Mapping[str, Sequence[Query]]) -> Iterator[list[str]]:
    common = [query.name for query in queries if all(_used(found.get(query.name), "hot", "cpu_s") for found in answers.values())]
    for title, group in groups.items():
        yield [title, *_cells(answers, [query.name for query in group if query.name in common], "hot", "cpu_s")]
    for run, what, title in [("hot", "cpu_s", "all, CPU ms"), ("hot", "wall_s", "all, wall ms"), ("cold", "cpu_s", "all cold, CPU ms"), ("cold", "wall_s", "all cold, wall ms")]:
        yield [f"**{title}**", *_cells(answers, common, run, what)]


def _cells(answers: dict[str, dict[str, Asked]], names: Sequence[str], run: str, what: str) -> list[str]:
    """The sum over some queries by each engine, in ms, and Pulka's share of the least of the others."""
    sums = {engine: _sum([_used(found.get(name), run, what) for name in names]) for engine, found in answers.items()}
    peers = [used for engine, used in sums.items() if engine != "pulka" and used]
    mine = sums["pulka"]
    return [*map(_ms, sums.values()), f"{mine / min(peers):.2f}" if mine and peers else "-"]


def _sum(used: Sequence[float | None]) -> float | None:
    known = [one for one in used if one is not None]
    return sum(known) if known and len(known) == len(used) else None


def _used(one: Asked | None, run: str, what: str) -> float | None:
    used = getattr(one, run, None)
    return None if used is None else float(getattr(used, what))


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


if __name__ == "__main__":
    main()
