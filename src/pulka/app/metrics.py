"""What the parts count, at /metrics."""


from functools import partial

from pulka.monitors.service import Monitors
from pulka.query.answers import Answers
from pulka.query.tails import Tails
from pulka.query.turns import Turns
from pulka.store.cache import FragmentCache
from pulka.store.compaction import Compactor
from pulka.store.rewrite import Rewriter
from pulka.store.writer import Writer
from pulka.telemetry import Registry

__all__ = ["measure", "measure_monitors", "measure_queries"]


def measure(
    metrics: Registry, writer: Writer, compactor: Compactor, rewriter: Rewriter, cache: FragmentCache | None, tails: Tails
) -> None:  # fmt: skip
    """Of the stages."""
    gauge = metrics.gauge
    gauge("pulka_writer_buffered_bytes", "Arrow bytes that are not in a fragment yet", lambda: writer.buffered_bytes)
    for name in ("flushes", "fragments", "rows", "bytes", "failures", "conflicts"):
        gauge(f"pulka_writer_{name}", f"Writer {name} since the start", partial(getattr, writer.counts, name))
    gauge("pulka_tail_subscribers", "Live tails at this moment", lambda: tails.subscribers)
    gauge("pulka_tail_dropped_rows", "Rows that live tails did not show, since the start", lambda: tails.dropped_rows)
    gauge("pulka_compaction_pending", "Days of a table with something to merge, now or once a window has ended", lambda: compactor.pending)
    for name in ("merges", "rows", "bytes_read", "bytes_written", "failures", "conflicts", "collected"):
        gauge(f"pulka_compaction_{name}", f"Compaction {name} since the start", partial(getattr, compactor.counts, name))
    for name in ("rewrites", "retired", "rows_removed", "deletes_done", "failures", "conflicts"):
        gauge(f"pulka_removal_{name}", f"Removal {name} since the start", partial(getattr, rewriter.counts, name))
    gauge("pulka_compaction_busy_seconds", "Time spent in merges since the start", lambda: compactor.counts.busy_s)
    gauge("pulka_write_amplification", "Bytes written by flushes and merges per byte flushed", partial(_amplification, writer, compactor))
    for name in ("merges", "fragments", "bytes"):
        read = partial(_backlog, compactor, name)
        metrics.gauges(f"pulka_compaction_backlog_{name}", f"Due now: {name} to merge, by stage", read, "stage")
    if cache is not None:
        gauge("pulka_cache_bytes", "Bytes of the copies in the fragment cache", lambda: cache.bytes)
        gauge("pulka_cache_pinned_bytes", "Bytes of the copies that queries and merges read now", lambda: cache.pinned_bytes)
        for name in ("hits", "misses", "evictions", "fetched_bytes"):
            gauge(f"pulka_cache_{name}", f"Fragment cache {name} since the start", partial(getattr, cache.counts, name))


def _amplification(writer: Writer, compactor: Compactor) -> float:
    return 1 + compactor.counts.bytes_written / max(1, writer.counts.bytes)


def _backlog(compactor: Compactor, name: str) -> dict[tuple[str, ...], float]:
    return {(stage,): getattr(entry, name) for stage, entry in compactor.backlog().items()}


def measure_queries(metrics: Registry, turns: Turns, answers: Answers) -> None:
    """Of queries."""
    metrics.gauge("pulka_queries_running", "Queries that run now", lambda: turns.running)
    metrics.gauge("pulka_queries_waiting", "Queries that wait for their turn", lambda: turns.waiting)
    metrics.gauge("pulka_query_cache_bytes", "Memory of answers that are kept", lambda: answers.bytes)
    metrics.gauge("pulka_query_cache_hits", "Queries answered from those since the start", lambda: answers.hits)


def measure_monitors(metrics: Registry, monitors: Monitors) -> None:
    """Of monitors and what they tell."""
    for name in ("evaluations", "changes", "failures", "conflicts"):
        metrics.gauge(f"pulka_monitors_{name}", f"Monitor {name} since the start", partial(getattr, monitors.runner.counts, name))
    for name in ("sent", "retries", "failed"):
        metrics.gauge(f"pulka_notifications_{name}", f"Notifications and history: {name} since the start", partial(getattr, monitors.outbox.counts, name))
