"""The queries of `query.py`, and how each engine says them.

`{words in braces}` are what the dialects say differently, `{03:10}` is a time on the day of `incident.py`. Every answer is in a
fixed order.
"""

import re
from dataclasses import dataclass

__all__ = ["GROUPS", "QUERIES", "Query", "said"]


@dataclass(frozen=True, slots=True)
class Query:
    """Of one that is approximate, floats may be those of ranks that are off by one in a hundred."""

    name: str
    sql: str
    approximate: bool = False


_INCIDENT = "timestamp >= {03:10} AND timestamp < {03:20}"
_BEFORE = "timestamp >= {02:10} AND timestamp < {03:10}"
TEXTS = [
    Query("needle", "SELECT count(*) AS n FROM logs WHERE message LIKE '%payment 4711 authorised%'"),
    Query("needle, its lines", "SELECT timestamp, service, message FROM logs WHERE message LIKE '%session 8154 %' ORDER BY timestamp DESC LIMIT 20"),
    Query("word that nobody wrote", "SELECT count(*) AS n FROM logs WHERE message LIKE '% zebra %'"),
    Query("frequent word", "SELECT count(*) AS n FROM logs WHERE message LIKE '% warehouse %'"),
    Query("several words", "SELECT count(*) AS n FROM logs WHERE message LIKE '%upstream%' AND message LIKE '% tenant-77 %' AND message LIKE '%central-2%'"),
    Query("part of a word", "SELECT count(*) AS n FROM logs WHERE message LIKE '%users/4711 %'"),
    Query("any case", "SELECT service, count(*) AS n FROM logs WHERE message ILIKE '%CONNECTION RESET%' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("regex", "SELECT count(*) AS n FROM logs WHERE {message matches attempt [0-9]{3}7 }"),
    Query("prefix of a message", "SELECT service, count(*) AS n FROM logs WHERE message LIKE 'slow query took 123%' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("prefix of a path", "SELECT count(*) AS n FROM logs WHERE \"http.path\" LIKE '/api/v1/orders/123%'"),
    Query("extract and group", "SELECT {tenant} AS tenant, count(*) AS n FROM logs WHERE severity = 'ERROR' GROUP BY 1 ORDER BY n DESC, tenant LIMIT 10"),
]  # fmt: skip
NUMBERS = [
    Query("count by severity", "SELECT severity, count(*) AS n FROM logs GROUP BY severity ORDER BY severity"),
    Query("errors by service", "SELECT service, count(*) AS n FROM logs WHERE severity = 'ERROR' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("two keys", "SELECT service, \"http.status_code\" AS status, count(*) AS n FROM logs GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 20"),
    Query("200,000 paths, top 10", "SELECT \"http.path\" AS path, count(*) AS n FROM logs GROUP BY 1 ORDER BY n DESC, path LIMIT 10"),
    Query("a million users, top 10", "SELECT \"user.id\" AS u, count(*) AS n FROM logs GROUP BY 1 ORDER BY n DESC, u LIMIT 10"),
    Query("two million traces, top 10", "SELECT trace_id, count(*) AS n FROM logs GROUP BY trace_id ORDER BY n DESC, trace_id LIMIT 10"),
    Query("distinct users", "SELECT count(DISTINCT \"user.id\") AS n FROM logs"),
    Query("distinct traces of a service", "SELECT count(DISTINCT trace_id) AS n FROM logs WHERE service = 'db-1'"),
    Query("percentiles", "SELECT {percentile 0.5} AS p50, {percentile 0.95} AS p95, {percentile 0.99} AS p99 FROM logs", approximate=True),
    Query("p99 by service", "SELECT service, {percentile 0.99} AS p99 FROM logs GROUP BY service ORDER BY service", approximate=True),
    Query("slowest mean", "SELECT service, avg(duration_ms) AS mean, stddev(duration_ms) AS s FROM logs GROUP BY service ORDER BY mean DESC LIMIT 5"),
    Query("histogram of durations", "SELECT floor(duration_ms / 50) AS b, count(*) AS n FROM logs WHERE duration_ms < 1000 GROUP BY 1 ORDER BY 1"),
    Query("lines a minute", "SELECT {minute} AS m, count(*) AS n FROM logs GROUP BY 1 ORDER BY 1"),
    Query("errors by service and 5 minutes", "SELECT {5 minutes} AS m, service, count(*) AS n FROM logs WHERE severity = 'ERROR' GROUP BY 1, 2 ORDER BY 1, 2"),
]  # fmt: skip
LOOKUPS = [
    Query("newest 100", "SELECT timestamp, service, severity, message FROM logs ORDER BY timestamp DESC LIMIT 100"),
    Query("newest 100 errors of a service", "SELECT timestamp, host, message FROM logs WHERE service = 'api-5' AND severity = 'ERROR' ORDER BY timestamp DESC LIMIT 100"),
    Query("numeric ranges", "SELECT count(*) AS n FROM logs WHERE duration_ms > 400 AND duration_ms < 500 AND \"http.status_code\" BETWEEN 400 AND 599"),
    Query("existence", "SELECT \"error.type\" AS e, count(*) AS n FROM logs WHERE \"error.type\" IS NOT NULL GROUP BY 1 ORDER BY 1"),
    Query("absence", "SELECT count(*) AS n FROM logs WHERE tags IS NULL AND severity = 'WARN'"),
    Query("list of users", "SELECT \"user.id\" AS u, count(*) AS n FROM logs WHERE \"user.id\" IN (17, 4711, 8154, 99999, 123456, 654321, 777777) GROUP BY 1 ORDER BY 1"),
    Query("list of statuses and services", "SELECT count(*) AS n FROM logs WHERE service IN ('api-3', 'db-2', 'auth-12') AND \"http.status_code\" IN (301, 404, 503)"),
    Query("sparse field", "SELECT service, count(*) AS n FROM logs WHERE {session} = 's-17' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("JSON", "SELECT {first tag} AS tag, count(*) AS n FROM logs WHERE tags IS NOT NULL GROUP BY 1 ORDER BY 1"),
    Query("trace, its lines", "SELECT timestamp, service, message FROM logs WHERE trace_id = '{trace}' ORDER BY timestamp"),
    Query("trace, its spans", "SELECT timestamp, service, name, duration_ns FROM spans WHERE trace_id = '{trace}' ORDER BY timestamp"),
    Query("slow spans", "SELECT service, name, count(*) AS n, max(duration_ns) AS slowest FROM spans WHERE duration_ns > 60000000 GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 20"),
    Query(
        "errors with their spans",
        "SELECT s.name, count(*) AS n, avg(s.duration_ns) AS mean FROM logs l JOIN spans s ON l.trace_id = s.trace_id"
        " WHERE l.severity = 'ERROR' AND l.service = 'api-5' GROUP BY s.name ORDER BY n DESC, s.name",
    ),
]  # fmt: skip
INCIDENT = [
    Query("minutes, by service", f"SELECT service, count(*) AS n FROM logs WHERE {_INCIDENT} AND severity = 'ERROR' GROUP BY service ORDER BY n DESC, service LIMIT 10"),
    Query("a service in the minutes", f"SELECT host, \"error.type\" AS e, count(*) AS n FROM logs WHERE {_INCIDENT} AND service = 'api-5' GROUP BY 1, 2 ORDER BY n DESC, 1, 2"),
    Query("a service's word in the minutes", f"SELECT timestamp, host, message FROM logs WHERE {_INCIDENT} AND service = 'api-5' AND message LIKE '% pool %' ORDER BY timestamp DESC LIMIT 100"),
    Query("a service, p95 a minute", f"SELECT {{minute}} AS m, {{percentile 0.95}} AS p95 FROM logs WHERE {_BEFORE} AND service = 'api-5' GROUP BY 1 ORDER BY 1", approximate=True),
    Query("a service, lines a minute", "SELECT {minute} AS m, count(*) AS n FROM logs WHERE service = 'api-5' GROUP BY 1 ORDER BY 1"),
    Query("a service's needle", "SELECT count(*) AS n FROM logs WHERE service = 'web-3' AND message LIKE '% payment 4711 authorised %'"),
    Query("newest 100 in the minutes", f"SELECT timestamp, service, message FROM logs WHERE {_INCIDENT} AND severity = 'ERROR' ORDER BY timestamp DESC LIMIT 100"),
    Query(
        "slowest three of each service",
        "SELECT service, host, d FROM (SELECT service, host, duration_ms AS d, row_number() OVER (PARTITION BY service ORDER BY duration_ms DESC) AS r"
        f" FROM logs WHERE {_INCIDENT}) t WHERE r <= 3 ORDER BY service, d DESC",
    ),
    Query(
        "errors with their spans in the minutes",
        "SELECT s.name, s.service, count(*) AS n FROM logs l JOIN spans s ON l.trace_id = s.trace_id"
        f" WHERE l.{_INCIDENT.replace('AND ', 'AND l.')} AND l.service = 'api-5' AND l.severity = 'ERROR' AND s.{_INCIDENT.replace('AND ', 'AND s.')} AND s.status = 'error'"
        " GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 20",
    ),
]  # fmt: skip
GROUPS = {"words in texts": TEXTS, "counts and numbers": NUMBERS, "conditions and look-ups": LOOKUPS, "an incident: one service, some minutes": INCIDENT}
QUERIES = [query for group in GROUPS.values() for query in group]

_DIALECTS = {
    "pulka": {
        "minute": "bucket(timestamp, '1m')", "5 minutes": "bucket(timestamp, '5m')", "percentile": "percentile(duration_ms, {})", "matches": "message ~ '{}'",
        "tenant": "(regexp_match(message, 'tenant-([0-9]+)'))[1]", "session": '"debug.session"', "first tag": "json(tags, '[0]')", "time": "TIMESTAMP '{}Z'",
    },
    "duckdb": {
        "minute": "time_bucket(INTERVAL '1 minute', timestamp::TIMESTAMP_NS)", "5 minutes": "time_bucket(INTERVAL '5 minutes', timestamp::TIMESTAMP_NS)",
        "percentile": "approx_quantile(duration_ms, {})", "matches": "regexp_matches(message, '{}')", "tenant": "regexp_extract(message, 'tenant-([0-9]+)', 1)",
        "session": "json_extract_string(_residual, '$.\"debug.session\"')", "first tag": "json_extract_string(tags, '$[0]')", "time": "'{}Z'",
    },
    "polars": {  # what its SQL lacks, its expressions have: `peers.py` adds them as columns
        "minute": "date_trunc('minute', timestamp)", "5 minutes": "five_minutes", "percentile": "quantile_cont(duration_ms, {})", "matches": "message ~ '{}'",
        "tenant": "tenant", "session": "session", "first tag": "first_tag", "time": "'{}Z'",
    },
    "chdb": {
        "minute": "toDateTime64(toStartOfInterval(timestamp, INTERVAL 1 MINUTE), 6)", "5 minutes": "toDateTime64(toStartOfInterval(timestamp, INTERVAL 5 MINUTE), 6)",
        "percentile": "quantileTDigest({})(duration_ms)", "matches": "match(message, '{}')", "tenant": "extract(message, 'tenant-([0-9]+)')",
        "session": "JSONExtractString(_residual, 'debug.session')", "first tag": "JSONExtractString(tags, 1)", "time": "toDateTime64('{}', 9, 'UTC')",
    },
}  # fmt: skip
_DIALECTS["datafusion"] = _DIALECTS["pulka"] | {
    "minute": "date_trunc('minute', timestamp)", "5 minutes": "date_bin(INTERVAL '5 minutes', timestamp)", "percentile": "approx_percentile_cont(duration_ms, {})",
}  # fmt: skip
_DIALECTS["least"] = _DIALECTS["duckdb"] | {"percentile": "quantile_cont(duration_ms, greatest(0, {} - 0.01))"}
_DIALECTS["most"] = _DIALECTS["duckdb"] | {"percentile": "quantile_cont(duration_ms, least(1, {} + 0.01))"}
_TERM = re.compile(r"\{(?:message (matches) (.*)|(percentile) ([\d.]+)|(\d\d:\d\d)|([^{}]+))\}")


def said(query: Query, engine: str, trace: str = "") -> str:
    """The text of `query` for `engine`; `least` and `most` are DuckDB's, with what an approximate percentile must lie between."""
    words = _DIALECTS[engine] | {"trace": trace}

    def term(match: re.Match[str]) -> str:
        matches, pattern, percentile, share, moment, word = match.groups()
        if moment:
            return words["time"].replace("{}", f"2026-01-01 {moment}:00")
        return words[matches or percentile or word].replace("{}", pattern or share or "")

    return _TERM.sub(term, query.sql)
