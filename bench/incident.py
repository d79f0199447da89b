"""Seeded input of the query benchmark: five hours of a shop's logs and spans that share traces, with an incident in the fourth.

From 03:10 to 03:20 the second host of `api-5` waits for its connection pool. A trace has about ten log lines and two spans.
Times of log lines are all different, so that "the newest 100" has one answer.
"""

import random
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from data import CACHE
from server import server

HOURS = 5
LINES_PER_TRACE = 10
_SPAN_US = HOURS * 3_600_000_000
_INCIDENT_US = (11_400_000_000, 12_000_000_000)
_BODY_BYTES = 2 << 20
_OPEN_TRACES = 512
_SERVICES = [f"{kind}-{part}" for kind in ("web", "api", "worker", "db", "auth") for part in range(13)]
_VERBS = ["GET", "GET", "GET", "POST", "PUT", "DELETE"]
_STATUSES = [200] * 82 + [201] * 8 + [301] * 3 + [404] * 5 + [500, 503]
_ERRORS = {500: "InternalError", 503: "Unavailable", 504: "PoolTimeout"}
_OPERATIONS = ["GET /orders", "GET /users", "POST /carts", "GET /items", "SELECT orders", "UPDATE carts", "cache.get", "queue.publish"]
_MESSAGES = [
    "request finished", "connection reset by peer", "cache miss for key user:{}", "retrying upstream, attempt {}",
    "user {} signed in from new device", "slow query took {} ms on replica", "payment {} authorised", "token expired for session {}",
    "upstream timed out after {} ms", "wrote {} rows to warehouse", "background job {} finished", "queue depth is {}",
]  # fmt: skip


class Trace(NamedTuple):
    """What the lines and spans of one request share; `sources` are the two services that serve it."""

    id: str
    started_us: int
    sources: tuple[str, str]
    path: str
    request: str
    failing: bool


def traces(lines: int, seed: int) -> Iterator[Trace]:
    """A trace for every ten of `lines`."""
    rng = random.Random(seed)
    step = _SPAN_US // lines
    for number in range(-(-lines // LINES_PER_TRACE)):
        started = number * LINES_PER_TRACE * step
        services = [_SERVICES[int(len(_SERVICES) * rng.random() ** 1.5)] for _ in range(2)]
        hosts = [rng.randrange(4) for _ in services]
        env = rng.choices(["prod", "staging", "dev"], [90, 8, 2])[0]
        sources = [f'"service":"{one}","env":"{env}","host":"{one}-{host}.internal","version":"1.{len(one)}.{host // 3}"' for one, host in zip(services, hosts, strict=True)]
        path = f"/api/v1/{rng.choice(['orders', 'users', 'carts', 'items'])}/{int(50_000 * rng.random() ** 2)}"
        id_ = f"{rng.getrandbits(128):032x}"
        request = f'"trace_id":"{id_}","user":{{"id":{int(1_000_000 * rng.random() ** 2)}}},"http":{{"method":"{rng.choice(_VERBS)}","path":"{path}","status_code":'
        failing = _INCIDENT_US[0] <= started < _INCIDENT_US[1] and ("api-5", 2) in zip(services, hosts, strict=True)
        yield Trace(id_, started, (sources[0], sources[1]), path, request, failing)


def log_bodies(lines: int, seed: int = 7) -> Iterator[bytes]:
    """NDJSON of `lines` log lines of about 400 bytes, in order of their time, as request bodies."""
    return _bodies(_log_lines(lines, seed))


def span_bodies(lines: int, seed: int = 7) -> Iterator[bytes]:
    """NDJSON of the two spans of each trace."""
    return _bodies(line for trace in traces(lines, seed) for line in _spans(trace))


def _bodies(lines: Iterable[str]) -> Iterator[bytes]:
    held, size = [], 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _BODY_BYTES:
            yield "".join(held).encode()
            held, size = [], 0
    if held:
        yield "".join(held).encode()


def _log_lines(lines: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed + 1)
    rand, step, coming = rng.random, _SPAN_US // lines, traces(lines, seed)
    open_: list[Trace] = []
    for number in range(lines):
        if number % LINES_PER_TRACE == 0:
            trace = next(coming)
            if len(open_) < _OPEN_TRACES:
                open_.append(trace)
            else:
                open_[int(rand() * _OPEN_TRACES)] = trace
        trace = open_[int(rand() * len(open_))]
        yield _log_line(number * step + int(rand() * step), trace, rand)


def _log_line(at_us: int, trace: Trace, rand: object) -> str:
    status = _STATUSES[int(rand() * 100)]
    duration = 50 * rand() / (1.0001 - rand())
    if trace.failing and rand() < 0.4:
        status, duration = 504, 5000 + 100 * rand()
    severity = "ERROR" if status >= 500 else "WARN" if status == 404 else "INFO"
    message = _MESSAGES[int(rand() * len(_MESSAGES))].format(int(rand() * 100_000)) if status != 504 else "gave up waiting for a connection of pool orders"
    rare = f',"error":{{"type":"{_ERRORS[status]}"}}' if status >= 500 else ""
    if rand() < 0.005:
        rare += f',"debug":{{"session":"s-{int(rand() * 1000)}"}}'
    if rand() < 0.2:
        rare += f',"tags":["{"canary" if rand() < 0.1 else "stable"}","zone-{int(rand() * 3)}"]'
    source = trace.sources[rand() < 0.5]
    return (
        f'{{"timestamp":"{_time(at_us)}",{source},"severity":"{severity}",{trace.request}{status}}},"duration_ms":{duration:.3f}{rare},'
        f'"message":"{message} while serving {trace.path} for tenant-{int(rand() * 500)} in region eu-central-{int(rand() * 3)}"}}\n'
    )


def _spans(trace: Trace) -> Iterator[str]:
    rng = random.Random(int(trace.id[:12], 16))
    parent = f"{int(trace.id[:16], 16) | 1:016x}"
    duration = int(rng.expovariate(1e-7)) + (5_000_000_000 if trace.failing else 0)
    for child, source in enumerate(trace.sources):
        name = _OPERATIONS[(4 * child) + int(rng.random() * 4)]
        status = "error" if trace.failing or rng.random() < 0.02 else "ok"
        ids = f'"span_id":"{int(parent, 16) ^ 0xFFFF:016x}","parent_span_id":"{parent}"' if child else f'"span_id":"{parent}"'
        yield (
            f'{{"timestamp":"{_time(trace.started_us + child * 200)}",{source},"trace_id":"{trace.id}",{ids},"name":"{name}",'
            f'"kind":"{"client" if child else "server"}","status":"{status}","duration_ns":{duration // (1 + child)}}}\n'
        )


def _time(at_us: int) -> str:
    minutes, rest = divmod(at_us, 60_000_000)
    return f"2026-01-01T{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1_000_000:02d}.{rest % 1_000_000:06d}Z"


def kept(lines: int, seed: int = 7, again: bool = False) -> Path:
    """The state directory of a lake that holds it all, merged; made once (20M lines: 1 GB) and kept until `again`."""
    state = CACHE / f"incident-{lines}-{seed}"
    if again or not (state / "complete").exists():
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        load(state, lines, seed)
        (state / "complete").touch()
    return state


def load(state: Path, lines: int, seed: int = 7) -> None:
    """Send everything to a server of its own and wait until it is merged."""
    with server(str(state), flush_age_s=5, compaction_idle_s=6, compaction_cpu_share=1, collect_grace_s=1) as lake:
        lake.send("/api/v1/ingest/logs", log_bodies(lines, seed))
        lake.send("/api/v1/ingest/spans", span_bodies(lines, seed))
        lake.settle(1800, quiet_s=30)


def some_trace(lines: int, seed: int = 7) -> str:
    """The id of one of the first traces."""
    return next(islice(traces(lines, seed), 700, None)).id
