"""Calls that become other SQL: found in the text as tokens, so that strings, quoted names and comments are left alone."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pulka.errors import BadQuery
from pulka.model.windows import TimeRange
from pulka.query.functions import buckets, histograms, percentile, rate, words
from pulka.query.schema import LogicalTable

__all__ = ["Macro", "Surroundings", "expand", "find_call"]

_TOKEN = re.compile(
    r"""(?P<skip>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?(?:\*/|\Z)|\s+)|(?P<word>[^\W\d]\w*(?:\s*(?=\()))|\w+|.""", re.S
)  # fmt: skip
_DEPTH_MAX = 32


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a macro may have to know: the tables of the query, its window, and the time (ns since 1970)."""

    tables: Mapping[str, LogicalTable] = field(default_factory=dict)
    window: TimeRange = field(default_factory=TimeRange)
    now_ns: int = 0


Macro = Callable[[list[str], Surroundings], str]
_MACROS: dict[str, Macro] = {
    "bucket": lambda given, _: buckets.bucket(given),
    "buckets": lambda given, around: buckets.series(given, around.window, around.now_ns),
    "merge_histograms": lambda given, _: histograms.merge_histograms(given),
    "percentile": lambda given, _: percentile.percentile(given),
    "rate": lambda given, _: rate.rate(given),
    "search": lambda given, around: words.search(given, around.tables, around.now_ns),
    "json": lambda given, _: f"json_get({', '.join(given)})",
}


def expand(sql: str, around: Surroundings, macros: Mapping[str, Macro] = _MACROS, depth: int = 0) -> str:
    """`sql` without macros. BadQuery says how a macro is used."""
    out: list[str] = []
    tokens = list(_TOKEN.finditer(sql))
    at = 0
    while at < len(tokens):
        word = tokens[at]["word"]
        macro = macros.get(word.strip().lower()) if word else None
        if macro is None or (out and out[-1] == "."):
            out.append(tokens[at][0])
            at += 1
            continue
        if depth >= _DEPTH_MAX:
            raise BadQuery("functions are nested too deeply", hint=f"at most {_DEPTH_MAX} within each other")
        given, at = _arguments(tokens, at + 1)
        out.append(macro([expand(one, around, macros, depth + 1) for one in given], around))
    return "".join(out)


def find_call(sql: str, name: str) -> tuple[list[str], int, int] | None:
    """The arguments of the first call of `name` in `sql`, and where it begins and ends."""
    tokens = list(_TOKEN.finditer(sql))
    for at, token in enumerate(tokens):
        if token["word"] and token["word"].strip().lower() == name and sql[token.end() :].startswith("("):
            given, after = _arguments(tokens, at + 1)
            return given, token.start(), tokens[after - 1].end()
    return None


def _arguments(tokens: list["re.Match[str]"], at: int) -> tuple[list[str], int]:
    """The texts between commas from the bracket at `at` on, and the place behind its closing one."""
    depth, given = 0, [""]
    for place in range(at, len(tokens)):
        text = tokens[place][0]
        depth += (text in "([{") - (text in ")]}") if len(text) == 1 else 0
        if depth == 0:
            return [one.strip() for one in given if one.strip() or len(given) > 1], place + 1
        if text == "," and depth == 1:
            given.append("")
        elif place > at:
            given[-1] += text
    raise BadQuery("a bracket is not closed", hint="every ( needs its )")
