"""What is told of an evaluation: rows of history for the tenant's own lake, and one notification per receiver."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from pulka.model.moments import rfc3339
from pulka.monitors.definition import Monitor
from pulka.monitors.evaluate import Changed

__all__ = ["HISTORY_TABLE", "Entry", "delivery_failed", "evaluation_error", "of_changes", "trial"]

HISTORY_TABLE = "monitor_events"
_SHOWN_MAX = 50
"""Groups that one notification lists; the rest are counted."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to be told, until it was. `id` is the same in every attempt, so that a receiver knows a repetition."""

    id: str
    monitor: str
    to: Literal["history", "webhook", "email"]
    body: str
    created_ns: int
    next_ns: int
    address: str = ""
    secret: str = ""
    subject: str = ""
    attempts: int = 0


def of_changes(tenant: str, monitor: Monitor, moment_ns: int, changes: Sequence[Changed]) -> list[Entry]:
    """All that one evaluation tells."""
    rows = [_row(monitor, moment_ns, "state", group=_group(monitor, one.group), state=one.state, previous=one.previous, value=one.value, told=one.tell)
            for one in changes if one.is_new]  # fmt: skip
    told = [one for one in changes if one.tell]
    entries = _history(monitor, moment_ns, rows) if rows else []
    if told:
        listed = [
            {"group": _group(monitor, one.group), "state": one.state, "previous": one.previous, "value": one.value, "since": rfc3339(one.since_ns)}
            for one in told[:_SHOWN_MAX]
        ]
        text = "\n".join(_line(monitor, one) for one in told[:_SHOWN_MAX])
        entries += _notifications(tenant, monitor, moment_ns, "state", _subject(monitor, told), text, listed, len(told) - len(listed))
    return entries


def evaluation_error(tenant: str, monitor: Monitor, moment_ns: int, error: str) -> list[Entry]:
    """That it cannot be evaluated, or, without an error, that it can again."""
    row = _row(monitor, moment_ns, "error", state="failing" if error else "working", detail=error)
    subject = f"{monitor.name} {'cannot be evaluated' if error else 'is evaluated again'}"
    muted = moment_ns < monitor.muted_until_ns
    return _history(monitor, moment_ns, [row]) + ([] if muted else _notifications(tenant, monitor, moment_ns, "error", subject, error))


def trial(tenant: str, monitor: Monitor, now_ns: int) -> list[Entry]:
    """A notification that only says that notifications come through."""
    return _notifications(tenant, monitor, now_ns, "test", f"{monitor.name}: a test", "A test of this monitor's notifications.")


def delivery_failed(entry: Entry, now_ns: int, detail: str) -> Entry:
    """The row of history that says so."""
    row = {
        "timestamp": rfc3339(now_ns), "kind": "delivery", "monitor": entry.monitor, "state": "failed", "notification": entry.id,
        "receiver": entry.to, "attempts": entry.attempts, "detail": detail,
    }  # fmt: skip
    return Entry(f"{entry.id}-failed", entry.monitor, "history", msgspec.json.encode(row).decode(), now_ns, now_ns)


def _row(monitor: Monitor, moment_ns: int, kind: str, **more: object) -> dict[str, object]:
    bounds = {"op": monitor.op, "alert": monitor.alert, "recover": monitor.recovers_at}
    row = {"timestamp": rfc3339(moment_ns), "kind": kind, "monitor": monitor.name, "monitor_id": monitor.id, **bounds, **more}
    return {name: value for name, value in row.items() if value not in (None, {})}


def _history(monitor: Monitor, moment_ns: int, rows: Sequence[dict[str, object]]) -> list[Entry]:
    lines = b"\n".join(msgspec.json.encode(row) for row in rows).decode()
    return [Entry(f"{monitor.id}-{moment_ns}-history-{rows[0]['kind']}", monitor.name, "history", lines, moment_ns, moment_ns)]


def _notifications(
    tenant: str, monitor: Monitor, moment_ns: int, kind: str, subject: str, text: str, changes: Sequence[object] = (), more: int = 0
) -> list[Entry]:  # fmt: skip
    """One per receiver."""
    stem = f"{monitor.id}-{moment_ns}-{kind}"
    text = "\n\n".join(part for part in (text, f"and {more:,} more" if more else "", monitor.message) if part)
    told = {
        "tenant": tenant, "monitor": monitor.name, "kind": kind, "at": rfc3339(moment_ns), "window_s": monitor.window_s, "op": monitor.op,
        "alert": monitor.alert, "recover": monitor.recovers_at, "message": monitor.message, "subject": subject, "changes": changes, "more": more,
    }  # fmt: skip
    entries = []
    for number, hook in enumerate(monitor.webhooks):
        own = f"{stem}-webhook-{number}"
        payload = msgspec.json.encode({"id": own, **told}).decode()
        entries.append(Entry(own, monitor.name, "webhook", payload, moment_ns, moment_ns, hook.url, hook.secret))
    for number, address in enumerate(monitor.emails):
        foot = f"\n\nmonitor {monitor.name} of tenant {tenant}, window of {monitor.window_s} s that ended {rfc3339(moment_ns)}\n"
        entries.append(Entry(f"{stem}-email-{number}", monitor.name, "email", text + foot, moment_ns, moment_ns, address, subject=subject))
    return entries


def _group(monitor: Monitor, key: str) -> dict[str, str | None]:
    return dict(zip(monitor.by, msgspec.json.decode(key), strict=False))


def _subject(monitor: Monitor, told: Sequence[Changed]) -> str:
    states = [one.state for one in told]
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("alert", "no_data", "ok") if state in states)
    return f"{monitor.name}: {told[0].state.replace('_', ' ')}" if len(told) == 1 else f"{monitor.name}: {counted.replace('_', ' ')}"


def _line(monitor: Monitor, one: Changed) -> str:
    group = ", ".join(f"{name} {value}" for name, value in _group(monitor, one.group).items())
    bound = monitor.recovers_at if one.state == "ok" else monitor.alert
    value = "no data" if one.value is None else f"{one.value:g}" if math.isfinite(one.value) else "infinite"
    return f"{one.state.replace('_', ' ')}{f' ({group})' if group else ''}: {value} (threshold {monitor.op} {bound:g})"
