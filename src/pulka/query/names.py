"""Names as people write them: `http.status_code`, `@timestamp` or `Service` without quotes.

The text is spliced, never written anew: what the user sees in messages is what they wrote.
"""

import re
from collections.abc import Callable, Collection, Mapping

from pulka.errors import BadQuery
from pulka.query.schema import LogicalTable

__all__ = ["check_condition", "check_select", "identifiers", "mentioned", "quote", "quote_paths", "quote_word", "unique_match"]

_SKIPPED = r"""'(?:[^']|'')*' | "(?:[^"]|"")*"(?:\s*\.\s*\w+)* | --[^\n]* | /\*.*?(?:\*/|\Z)"""
_TOKEN = re.compile(rf"(?P<skip>{_SKIPPED}) | (?P<path>(?<![\w.@])@?[^\W\d][\w@]*(?:\.@?\w+)*) | .", re.X | re.S)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_ALIAS = re.compile(r"(?:\)|\b(?P<table>\w+))\s+(?:as\s+)?(?P<alias>[^\W\d]\w*)|\b(?P<cte>[^\W\d]\w*)\s+as\s*\(", re.I)


def check_select(sql: str) -> str:
    """The one SELECT in `sql`, without a trailing semicolon."""
    statement = sql.rstrip().rstrip(";").rstrip()
    first = re.match(r"[\s(]*(\w*)", _COMMENTS.sub(" ", statement))
    if first is None or first.group(1).lower() not in ("select", "with"):
        raise BadQuery("Pulka reads only: SELECT (or WITH ... SELECT)", hint="begin with SELECT or WITH")
    return statement


def check_condition(sql: str) -> str:
    """A condition to put in brackets: nothing in it closes a bracket that it has not opened."""
    depth = 0
    for token in _TOKEN.finditer(sql):
        depth += (token[0] == "(") - (token[0] == ")")
        if depth < 0 or token[0] in ("'", '"') or (token[0].startswith("/*") and not token[0].endswith("*/")):
            break
    else:
        if depth == 0 and "\x1f" not in sql:
            return sql
    raise BadQuery("the condition has brackets or quotes without their counterpart", hint="try it first as the WHERE of a query")


def quote(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def mentioned(sql: str, tables: Mapping[str, LogicalTable]) -> dict[str, LogicalTable]:
    """The tables whose name occurs in `sql`: a superset of those it reads."""
    words = set(re.findall(r"\w+", sql))
    return {name: table for name, table in tables.items() if name in words}


def quote_paths(sql: str, tables: Mapping[str, LogicalTable]) -> str:
    """Quote dotted paths and `@` names that are fields of the tables in the query; aliases win over paths."""
    qualifiers = _qualifiers(sql, tables)
    paths = {path for table in tables.values() for path in table.fields}

    def replace(written: str) -> str:
        first, _, rest = written.partition(".")
        if first in qualifiers and rest:
            return f"{first}.{_quote_known(rest, paths)}" if "." in rest or "@" in rest else written
        return _quote_known(written, paths) if "." in written or "@" in written else written

    return _splice(sql, replace)


def identifiers(sql: str) -> tuple[set[str], set[str]]:
    """The names in `sql`: those that are quoted, without their quotes, and the other words."""
    tokens = list(_TOKEN.finditer(sql))
    quoted = {token[0][1:-1].replace('""', '"') for token in tokens if token["skip"] and token[0][0] == token[0][-1] == '"'}
    return quoted, {token["path"] for token in tokens if token["path"]}


def quote_word(sql: str, word: str, name: str) -> str:
    """Replace the bare (or qualified) name `word` by the quoted `name`."""

    def replace(written: str) -> str:
        qualifier, dot, last = written.rpartition(".")
        return f"{qualifier}{dot}{quote(name)}" if word in (last, written) else written

    return _splice(sql, replace)


def unique_match(name: str, candidates: Collection[str]) -> str | None:
    """The candidate equal to `name`, else the only one equal but for case."""
    if name in candidates:
        return name
    folded = [candidate for candidate in candidates if candidate.lower() == name.lower()]
    return folded[0] if len(folded) == 1 else None


def _quote_known(written: str, paths: Collection[str]) -> str:
    path = unique_match(written, paths)
    return written if path is None else quote(path)


def _splice(sql: str, replace: Callable[[str], str]) -> str:
    return _TOKEN.sub(lambda token: replace(token["path"]) if token["path"] else token[0], sql)


def _qualifiers(sql: str, tables: Mapping[str, LogicalTable]) -> set[str]:
    """Tables and everything that looks like an alias of a table, a subquery or a WITH clause."""
    found = set(tables)
    for match in _ALIAS.finditer(sql):
        if match["cte"]:
            found.add(match["cte"])
        elif match["table"] is None or match["table"] in found:
            found.add(match["alias"])
    return found
