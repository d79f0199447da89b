"""One evaluation, as a function: definition, state, moment and values in, the next state and what changed out.

Nothing here reads a clock or a lake, so the same evaluation can be done again and gives the same.
"""

import math
from collections.abc import Mapping

import msgspec

from pulka.monitors.definition import Monitor

__all__ = ["Answer", "Changed", "Group", "State", "changes", "failed", "step"]

_FORGOTTEN_NS = 86_400 * 1_000_000_000
"""A group that has had no data for so long is forgotten."""


class Answer(msgspec.Struct, frozen=True):
    """The value of each group, by the JSON array of its group's values; `missing` is that of a group which is not among them."""

    values: Mapping[str, float | None]
    missing: float | None = None

    def of(self, group: str) -> float | None:
        """A group's value, None without data."""
        return self.values.get(group, self.missing)


class Group(msgspec.Struct, omit_defaults=True):
    """What is known of one group. `told` is the last state that was told; `breaches` counts windows in a row over the threshold."""

    state: str = "ok"
    since_ns: int = 0
    value: float | None = None
    breaches: int = 0
    told: str = "ok"
    told_ns: int = 0


class State(msgspec.Struct, omit_defaults=True):
    """The state of a monitor with the id `of`, evaluated up to a moment. Groups by the JSON array of their values.

    `left_out` groups were too many at the last evaluation; `error` is why it could not be done.
    """

    of: str = ""
    upto_ns: int = 0
    groups: dict[str, Group] = {}
    left_out: int = 0
    error: str = ""


class Changed(msgspec.Struct, frozen=True):
    """One group's new state, or one that is told again. `tell`: it is to be sent, the history aside."""

    group: str
    state: str
    previous: str
    value: float | None
    since_ns: int
    tell: bool
    is_new: bool = True


def changes(now: Answer, before: Answer, kind: str) -> Answer:
    """How the values differ from earlier ones, as a difference or in percent of them; None where one is missing.

    From zero, percent are 0 where nothing changed and infinite where something did.
    """
    return Answer({group: _change(now.of(group), before.of(group), kind) for group in {**now.values, **before.values}})


def _change(now: float | None, before: float | None, kind: str) -> float | None:
    if now is None or before is None:
        return None
    if kind == "difference":
        return now - before
    if before == 0:
        return 0.0 if now == 0 else math.copysign(math.inf, now)
    return (now - before) / abs(before) * 100


def step(monitor: Monitor, state: State, moment_ns: int, answer: Answer, groups_max: int) -> tuple[State, list[Changed]]:
    """Evaluate at a moment. A known group without a value has no data; new groups come in while there is room, in their order."""
    muted = moment_ns < monitor.muted_until_ns
    room = groups_max - len(state.groups)
    new = sorted(group for group in answer.values if group not in state.groups)
    groups, found = {}, []
    for key in [*sorted(state.groups), *new[: max(room, 0)]]:
        group, change = _group(monitor, key, state.groups.get(key), moment_ns, answer.of(key), muted)
        if change is not None:
            found.append(change)
        if key in answer.values or not _is_over(group, moment_ns):
            groups[key] = group
    return State(monitor.id, moment_ns, groups, max(0, len(new) - max(room, 0))), found


def failed(monitor: Monitor, state: State, moment_ns: int, error: str) -> State:
    """The state after an evaluation that could not be done: all groups stay as they are."""
    return State(monitor.id, moment_ns, state.groups, state.left_out, error)


def _is_over(group: Group, moment_ns: int) -> bool:
    """Whether a group that is not seen any more has nothing left to tell."""
    if group.state == "no_data" and group.told == "no_data":
        return moment_ns - group.since_ns > _FORGOTTEN_NS
    return group.state == group.told == "ok"


def _group(monitor: Monitor, key: str, known: Group | None, moment_ns: int, value: float | None, muted: bool) -> tuple[Group, Changed | None]:
    before = known or Group(since_ns=moment_ns)
    after = _next(monitor, before, moment_ns, value)
    due = after.state != before.told or (after.state != "ok" and _repeats(monitor, before, moment_ns))
    tell = due and not muted
    if tell:
        after.told, after.told_ns = after.state, moment_ns
    is_new = after.state != before.state
    if not (is_new or tell):
        return after, None
    return after, Changed(key, after.state, before.state, after.value, after.since_ns, tell, is_new)


def _repeats(monitor: Monitor, group: Group, moment_ns: int) -> bool:
    return bool(monitor.repeat_s) and moment_ns - group.told_ns >= monitor.repeat_s * 1_000_000_000


def _next(monitor: Monitor, before: Group, moment_ns: int, value: float | None) -> Group:
    if value is None or math.isnan(value):
        return _without_data(monitor, before, moment_ns)
    breaches = before.breaches + 1 if monitor.holds(value, monitor.alert) else 0
    if before.state == "alert":
        state = "alert" if monitor.holds(value, monitor.recovers_at) else "ok"
    else:
        state = "alert" if breaches >= monitor.times else "ok"
    return _moved(before, state, moment_ns, value, breaches)


def _without_data(monitor: Monitor, before: Group, moment_ns: int) -> Group:
    if monitor.no_data == "keep":
        return _moved(before, before.state, moment_ns, None, 0)
    return _moved(before, "no_data" if monitor.no_data == "notify" else "ok", moment_ns, None, 0)


def _moved(before: Group, state: str, moment_ns: int, value: float | None, breaches: int) -> Group:
    since_ns = before.since_ns if state == before.state else moment_ns
    return Group(state, since_ns, value, breaches, before.told, before.told_ns)
