"""DataFusion's messages as errors of Pulka: one line, nothing quoted from the data, a hint that names what exists."""

import re
from collections.abc import Iterable, Mapping

from pulka.errors import BadQuery, Corrupt, LimitExceeded, PulkaError, Temporary, nearest
from pulka.query.names import unique_match
from pulka.query.schema import LogicalTable

__all__ = ["near", "out_of_memory", "translate", "unknown_field"]

_PREFIXES = re.compile(
    r"^(?:(?:DataFusion error|Error during planning|Schema error|SQL error|Execution error|Arrow error|External error"
    r"|Internal error|Optimizer rule '\w+' failed|ParserError|type_coercion|caused by|Exception)[:(\s]+)+"
)
_FIELD = re.compile(r"No field named (.+?)\.(?: Valid fields are| Did you mean|\s|$)", re.S)
_TABLE = re.compile(r"table '(?:datafusion\.public\.)?([^']+)' not found")
_FUNCTION = re.compile(r"Invalid function '([^']+)'")
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"")
_UNREADABLE = re.compile(r"\bParquet error: |\bParquetError\b|Invalid Parquet file")
_GONE = re.compile(r"Object at location .+ not found")
_REGEX = re.compile(r"regex parse error:.*\nerror: ([^\n]+)|Regular expression did not compile: (CompiledTooBig)", re.S)
_CAST = re.compile(r"Cast error: .*?to value of (\w+)")


def translate(error: BaseException, tables: Mapping[str, LogicalTable], functions: Iterable[str] = ()) -> PulkaError:
    """The error a user sees for an exception of DataFusion."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or _GONE.search(text):
        return Temporary("a stored file is gone", hint="ask again: it may have been merged just now; if this stays, `pulka store check` names it")
    if "Resources exhausted" in text or "Not enough memory" in text:
        return out_of_memory()
    if match := _TABLE.search(text):
        return BadQuery(f"there is no table `{match[1][:80]}`", hint=near(match[1], tables, "your tables"))
    if (name := unknown_field(error)) is not None:
        paths = [path for table in tables.values() for path in table.fields]
        return BadQuery(f"there is no field `{name[:80]}`", hint=near(name, paths, "fields"))
    if match := _FUNCTION.search(text):
        return BadQuery(f"there is no function `{match[1][:80]}`", hint=nearest(match[1], list(functions)))
    if match := _CAST.search(text):
        return BadQuery(f"a value cannot be read as {match[1]}", hint="TRY_CAST gives NULL for such values")
    if match := _REGEX.search(text):
        return BadQuery(f"a regular expression cannot be used: {match[1] or 'it is too large'}", hint="it is one of Rust's `regex`")
    if "no path into JSON" in text:
        return BadQuery("json was not given a path", hint="as in json(field, 'a.b[0]')")
    if "no sketch of quantiles" in text:
        return BadQuery("this is no sketch of quantiles", hint="make one with quantile_sketch(number)")
    if "does not appear to be an IPv4 or IPv6 network" in text:
        return BadQuery("cidr_match was not given a network", hint="as in cidr_match(ip, '10.0.0.0/8')")
    if _UNREADABLE.search(text):
        return Corrupt("a stored file cannot be read", hint="ask again; if that does not help, `pulka store check --verify` names it")
    return BadQuery(_first_line(text))


def unknown_field(error: BaseException) -> str | None:
    """The name DataFusion did not find, as written but without quotes."""
    match = _FIELD.search(str(error))
    return None if match is None else match[1].replace('"', "")


def out_of_memory() -> LimitExceeded:
    """The query needed more memory than it may have."""
    return LimitExceeded(
        "the query needs more memory than it may use",
        hint="narrow the time window or group by fewer values, or raise query_memory_bytes",
    )


def near(name: str, candidates: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest of the candidates, or the first of them."""
    known = list(dict.fromkeys(candidates))
    match = unique_match(name, known)
    close = nearest(name, known) if match is None else f"did you mean `{match}`?"
    return close or f"{what}: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}"


def _first_line(text: str) -> str:
    lines = [_PREFIXES.sub("", line).strip() for line in text.splitlines()]
    line = next((line for line in lines if line), "the query cannot be run")
    return _LITERAL.sub("'...'", line.rstrip(").").strip())[:300]
