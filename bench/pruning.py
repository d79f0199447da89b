"""What sorting saves, and what each means of pruning removes at each level of compaction, on real data.

Levels are simulated by cutting the same rows in different ways: as flushed (runs of arrival order), merged by size (16 such runs
in a row) and merged by locality (all rows sorted by the sort schema, then cut: key-disjoint and narrow).
"""

import itertools
import json
import random
import statistics
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data import CACHE, bodies, nezha, security_events
from pulka import _native
from table import markdown

FLUSHED_ROWS, MERGED_ROWS, NARROW_ROWS = 1_000, 16_000, 4_000
BUDGETS = (16, 64, 128, 256)
VALUES_MAX, VALUE_BYTES_MAX = 16, 64
QUERIES = 400
WORDS_TRIED = 200
MESSAGE = "message"


@dataclass
class Dataset:
    """Events in order of arrival, as one table, with the sort schema they would have."""

    name: str
    table: pa.Table
    sort: tuple[str, ...]

    def write(self, rows: pa.Table, path: Path, sort: tuple[str, ...] | None = None) -> dict[str, object]:
        """A fragment of `rows`; its description."""
        order = list(self.sort if sort is None else sort)
        batches = rows.combine_chunks().to_batches()
        path.unlink(missing_ok=True)
        return json.loads(_native.write_fragment(batches, str(path), declared={}, sort=order, bloom=["TraceID", "SpanID"], metadata={}))

    @cached_property
    def ordered(self) -> pa.Table:
        """All rows in the order of the sort schema."""
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            path = Path(folder, "all.parquet")
            self.write(self.table, path)
            return pq.read_table(path)

    def levels(self) -> Iterator[tuple[str, list[pa.Table]]]:
        """Each level's name and fragments."""
        yield "as flushed", cut(self.table, FLUSHED_ROWS)
        yield "merged by size", cut(self.table, MERGED_ROWS)
        yield "locality", cut(self.ordered, MERGED_ROWS)
        yield "locality, narrower", cut(self.ordered, NARROW_ROWS)


def cut(table: pa.Table, rows: int) -> list[pa.Table]:
    """The table in pieces of `rows`."""
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)]


def datasets() -> Iterator[Dataset]:
    """The real sets that are there."""
    if path := security_events():
        times = ["@timestamp", "TimeCreated", "EventTime"]
        options = _native.DecodeOptions(timestamp_fields=times, rename={"Message": MESSAGE})
        batches = [_native.decode_json(body, 1_767_225_600_000_000_000, options).batch for body in bodies(path)]
        yield dataset("security-events", batches, ("Channel", "Hostname", "Image", "-timestamp"))
    if folder := nezha():
        yield csv(folder / "log", "Nezha logs", "TimeUnixNano", ("PodName", "-timestamp"))
        yield csv(folder / "trace", "Nezha spans", "StartTimeUnixNano", ("PodName", "OperationName", "-timestamp"))


def csv(folder: Path, name: str, time: str, sort: tuple[str, ...]) -> Dataset:
    """All files of a folder, in the order of their minutes."""
    options = _native.DecodeOptions(timestamp_fields=[time], rename={"Log": MESSAGE})
    bodies_ = [path.read_bytes() for path in sorted(folder.glob("*.csv"))]
    return dataset(name, [_native.decode_csv(body, 1_767_225_600_000_000_000, options).batch for body in bodies_], sort)


def dataset(name: str, batches: list[pa.RecordBatch | None], sort: tuple[str, ...]) -> Dataset:
    """One table of all batches."""
    whole = _native.normalize([batch for batch in batches if batch is not None], {}, 1000, 0.01)
    return Dataset(name, pa.Table.from_batches([whole]), sort)


def sizes(data: Dataset) -> list[object]:
    """Bytes stored in arrival order and sorted."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        described = [data.write(data.table, Path(folder, str(i)), sort) for i, sort in enumerate([(), ("-timestamp",), data.sort])]
    raw, arrival, time, ordered = described[0]["raw_bytes"], *(int(one["bytes"]) for one in described)
    share = f"{100 - 100 * ordered / arrival:.0f} %"
    return [data.name, data.table.num_rows, f"{raw / 1e6:.1f}", f"{arrival / 1e6:.2f}", f"{time / 1e6:.2f}", f"{ordered / 1e6:.2f}", share]


@dataclass
class Column:
    """What one level's fragments know of one text column."""

    held: list[list[str]]
    """The distinct values of each fragment."""

    @cached_property
    def bounds(self) -> list[tuple[str, str] | None]:
        return [(min(values), max(values)) if values else None for values in self.held]

    @cached_property
    def listed(self) -> list[set[str] | None]:
        short = [len(values) <= VALUES_MAX and all(len(value.encode()) <= VALUE_BYTES_MAX for value in values) for values in self.held]
        return [set(values) if few else None for values, few in zip(self.held, short, strict=True)]

    def automata(self, budget: int) -> list[bytes]:
        return [_native.automaton(values, budget) for values in self.held]


def column_of(pieces: list[pa.Table], name: str) -> Column:
    """The distinct values of a column in each piece."""
    return Column([sorted(pc.unique(piece[name]).drop_null().to_pylist()) for piece in pieces])


def queried(values: list[str], prefixes: bool) -> list[tuple[str, ...]]:
    """Patterns that a user asks for: every value, or the part before the last separator."""
    rng = random.Random(7)
    if prefixes:
        heads = sorted({value[: max(value.rfind(mark) for mark in "-./\\_") + 1] for value in values} - {""})
        return [(head, "") for head in rng.sample(heads, min(QUERIES, len(heads)))]
    return [(value,) for value in rng.sample(values, min(QUERIES, len(values)))]


def removed(column: Column, patterns: list[tuple[str, ...]]) -> list[str]:
    """In percent of the (query, fragment) pairs without a match: what each means removes, each with those before it."""
    automata = {budget: column.automata(budget) for budget in BUDGETS}
    counts = dict.fromkeys(["bounds", "values", *BUDGETS], 0)
    removable = 0
    for pattern in patterns:
        head = pattern[0]
        missed = [not hit for hit in _native.values_match(column.held, [pattern], False)]
        outside = [bound is None or not (bound[0][: len(head)] <= head <= bound[1]) for bound in column.bounds]
        unlisted = [listed is not None and miss for listed, miss in zip(column.listed, missed, strict=True)]
        answers = {budget: _native.automata_match(automata[budget], [pattern], False) for budget in BUDGETS}
        for index in (index for index, miss in enumerate(missed) if miss):
            removable += 1
            counts["bounds"] += outside[index]
            counts["values"] += outside[index] or unlisted[index]
            for budget in BUDGETS:
                counts[budget] += outside[index] or not answers[budget][index]
    return [f"{100 * count / removable:.0f} %" if removable else "-" for count in counts.values()]


def by_level(data: Dataset, prefixes: bool) -> Iterator[list[object]]:
    """One row for each sort column and level."""
    for name in (name for name in data.sort if not name.startswith("-")):
        everything = column_of([data.table], name).held[0]
        for level, pieces in data.levels():
            column = column_of(pieces, name)
            packed = {budget: [one for one in column.automata(budget) if one] for budget in BUDGETS}
            regexes = [len(_native.automaton_regex(one)) for one in packed[256]]
            yield [
                data.name, f"`{name}` ({len(everything)})", level, len(pieces), f"{statistics.median(map(len, column.held)):.0f}",
                *removed(column, queried(everything, prefixes)),
                *(f"{statistics.mean(map(len, some)):.0f}" if some else "-" for some in packed.values()),
                f"{statistics.mean(regexes):.0f}" if regexes else "-", max(regexes, default="-"),
            ]  # fmt: skip


def words(data: Dataset) -> Iterator[list[object]]:
    """How large the word filters are, and how often they seem to have a word that is elsewhere in the data only."""
    everywhere = sorted(words_of(data.table[MESSAGE]))
    for level, pieces in data.levels():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            yield [data.name, level, *word_figures(data, pieces, everywhere, Path(folder))]


def words_of(column: pa.ChunkedArray) -> set[str]:
    """All words of a text column."""
    return {word for text in pc.unique(column).drop_null().to_pylist() for word in _native.text_words(text)}


def word_figures(data: Dataset, pieces: list[pa.Table], everywhere: list[str], folder: Path) -> list[object]:
    """Medians over the fragments of a level."""
    rng = random.Random(7)
    catalog, file, fragment_wrong, stretch_wrong, distinct = [], [], [], [], []
    for number, piece in enumerate(pieces[:: max(1, len(pieces) // 40)]):
        path = folder / str(number)
        described = data.write(piece, path)
        stats = next((one for one in described["columns"] if one["name"] == MESSAGE), None)
        own = words_of(piece[MESSAGE])
        absent = [word for word in rng.sample(everywhere, min(4 * WORDS_TRIED, len(everywhere))) if word not in own][:WORDS_TRIED]
        if stats is None or not absent:
            continue
        distinct.append(len(own))
        size = sum(len(one.get("words", "")) * 3 // 4 for one in described["columns"])
        catalog.append((size, size / described["bytes"]))
        places = json.loads(_native.inspect_fragment(str(path))["pulka.words"])
        file.append(sum(sum(place["bytes"]) for place in places.values()) / described["bytes"])
        if "words" in stats:
            filter_ = b64decode(stats["words"])
            fragment_wrong.append(sum(_native.word_filters_match([filter_], [(word,)])[0] for word in absent) / len(absent))
        if MESSAGE in places:
            filters = stretch_filters(path, places[MESSAGE])
            hits = [sum(_native.word_filters_match(filters, [(word,)])) for word in absent]
            stretch_wrong.append(sum(hits) / len(hits) / len(filters))

    def percent(values: list[float], digits: int = 1) -> str:
        return f"{100 * statistics.median(values):.{digits}f} %" if values else "-"

    return [
        len(pieces), f"{statistics.median(distinct):.0f}",
        f"{statistics.median([size for size, _ in catalog]):.0f}", percent([share for _, share in catalog]),
        f"{len(fragment_wrong)}/{len(distinct)}", percent(fragment_wrong),
        percent(file), f"{len(stretch_wrong)}/{len(distinct)}", percent(stretch_wrong),
    ]  # fmt: skip


def stretch_filters(path: Path, place: dict[str, Any]) -> list[bytes]:
    """The word filters of stretches of rows, as they stand in the file."""
    data = path.read_bytes()
    ends = list(itertools.accumulate(place["bytes"], initial=place["offset"]))
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def main() -> None:
    """Print all tables."""
    sets = list(datasets())
    if not sets:
        sys.exit("no data set is there, see bench/data.py")
    columns = ["data", "rows", "raw MB", "arrival order MB", "by time MB", "sorted MB", "saved"]
    print(markdown("Sorted against unsorted", columns, [sizes(data) for data in sets]))
    columns = [
        "data", "column (values)", "level", "fragments", "values each", "min/max", "+ values", *(f"+ automaton {n}" for n in BUDGETS),
        *(f"bytes {n}" for n in BUDGETS), "regex chars 256", "longest",
    ]  # fmt: skip
    for title, prefixes in (("Equality", False), ("Prefix", True)):
        print(markdown(f"{title}: removed of the fragments without a match", columns, [row for data in sets for row in by_level(data, prefixes)]))
    columns = [
        "data", "level", "fragments", "words each", "catalog bytes", "of file", "have a filter", "wrongly kept", "in file", "have filters",
        "stretches wrongly kept",
    ]  # fmt: skip
    print(markdown("Words", columns, [row for data in sets if MESSAGE in data.table.column_names for row in words(data)]))


if __name__ == "__main__":
    main()
