"""One evaluation: thresholds, hysteresis, no data, groups, mutes; and that it can be repeated exactly."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka.errors import BadInput
from pulka.monitors.definition import Limits, Monitor, Webhook, checked, shown
from pulka.monitors.evaluate import Answer, State, changes, step
from pulka.monitors.runner import due_moments

S = 1_000_000_000
ONE = "[]"


def run(monitor: Monitor, values: list[float | None], **more: Any) -> list[str]:
    """The state of the only group after each value."""
    state, seen = State(), []
    for moment, value in enumerate(values, 1):
        state, _ = step(monitor, state, moment * S, Answer({ONE: value}), more.get("groups_max", 10))
        seen.append(state.groups[ONE].state if ONE in state.groups else "ok")
    return seen


def monitor(**given_: Any) -> Monitor:
    return Monitor("m", id="1", search="", **{"alert": 10.0, **given_})


@pytest.mark.parametrize(
    ("definition", "values", "states"),
    [
        ({}, [9, 10, 11, 10], ["ok", "ok", "alert", "ok"]),
        ({"op": ">="}, [9, 10, 9], ["ok", "alert", "ok"]),
        ({"op": "<"}, [11, 9, 10], ["ok", "alert", "ok"]),
        ({"op": "<="}, [11, 10, 11], ["ok", "alert", "ok"]),
        ({"recover": 5.0}, [11, 8, 6, 5, 8], ["alert", "alert", "alert", "ok", "ok"]),
        ({"op": "<", "recover": 20.0}, [9, 15, 20], ["alert", "alert", "ok"]),
        ({"times": 3}, [11, 11, 9, 11, 11, 11, 9], ["ok", "ok", "ok", "ok", "ok", "alert", "ok"]),
        ({"no_data": "keep"}, [11, None, 9, None], ["alert", "alert", "ok", "ok"]),
        ({"no_data": "notify"}, [None, 11, None, 9], ["no_data", "alert", "no_data", "ok"]),
        ({"no_data": "ok"}, [11, None], ["alert", "ok"]),
        ({"times": 2}, [11, None, 11, 11], ["ok", "ok", "ok", "alert"]),
        ({}, [math.inf, math.nan, -math.inf], ["alert", "alert", "ok"]),
    ],
)
def test_states(definition: dict[str, Any], values: list[float | None], states: list[str]) -> None:
    assert run(monitor(**definition), values) == states


def told(definition: Monitor, values: list[float | None]) -> list[tuple[int, str]]:
    state, seen = State(), []
    for moment, value in enumerate(values, 1):
        state, found = step(definition, state, moment * S, Answer({ONE: value}), 10)
        seen += [(moment, one.state) for one in found if one.tell]
    return seen


def test_what_is_told() -> None:
    assert told(monitor(), [9, 11, 12, 9, 9]) == [(2, "alert"), (4, "ok")]
    assert told(monitor(repeat_s=2), [11, 11, 11, 11, 11, 9]) == [(1, "alert"), (3, "alert"), (5, "alert"), (6, "ok")]
    assert told(monitor(muted_until_ns=3 * S), [11, 11, 11, 9]) == [(3, "alert"), (4, "ok")]
    assert told(monitor(muted_until_ns=3 * S), [11, 9, 9, 9]) == []
    assert told(monitor(no_data="notify"), [1, None, None]) == [(2, "no_data")]


def test_groups_are_bounded_and_known_ones_stay() -> None:
    state, _ = step(monitor(), State(), S, Answer({"a": 11, "b": 1}), 2)
    state, found = step(monitor(), state, 2 * S, Answer({"0": 99, "a": 11, "b": 12}), 2)
    assert (sorted(state.groups), state.left_out, [one.group for one in found]) == (["a", "b"], 1, ["b"])
    state, found = step(monitor(), state, 3 * S, Answer({}, missing=0.0), 2)
    assert [(one.group, one.state, one.value) for one in found] == [("a", "ok", 0.0), ("b", "ok", 0.0)]
    assert not state.groups


def test_a_group_without_data_is_forgotten_after_a_day() -> None:
    definition = monitor(no_data="notify")
    state, _ = step(definition, State(), S, Answer({"a": 11}), 2)
    state, found = step(definition, state, 2 * S, Answer({}), 2)
    assert [one.state for one in found] == ["no_data"]
    state, found = step(definition, state, 86_400 * S, Answer({}), 2)
    assert (list(state.groups), found) == (["a"], [])
    state, _ = step(definition, state, 86_403 * S, Answer({}), 2)
    assert not state.groups


def test_changes() -> None:
    now, before = Answer({"a": 30, "b": 5, "c": 1, "d": 0, "e": 7}), Answer({"a": 20, "b": -10, "c": 0, "d": 0, "f": 3})
    percent = changes(now, before, "percent").values
    assert percent == {"a": 50, "b": 150, "c": math.inf, "d": 0, "e": None, "f": None}
    assert changes(now, before, "difference").values == {"a": 10, "b": 15, "c": 1, "d": 0, "e": None, "f": None}
    assert changes(Answer({}, 0.0), Answer({"a": 4}, 0.0), "percent").values == {"a": -100}


def test_due_moments() -> None:
    one = monitor(every_s=60, delay_s=30)
    at = lambda s: list(due_moments(one, State("1", upto), s * S))  # noqa: E731
    upto = 0
    assert at(89) == [0]
    assert at(90) == [60 * S]
    upto = 60 * S
    assert (at(149), at(150), at(275)) == ([], [120 * S], [120 * S, 180 * S, 240 * S])
    assert len(at(86_400)) == 10


FLOATS = st.one_of(st.none(), st.floats(allow_nan=False, width=16))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a machine that is busy
@given(st.lists(st.dictionaries(st.sampled_from("abcde"), FLOATS), max_size=12), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["keep", "notify", "ok"]))
def test_evaluations_are_exactly_repeatable_from_any_state(answers: list[dict[str, float | None]], groups_max: int, times: int, no_data: Any) -> None:
    """The state survives its way through the catalog at any point, groups stay bounded, and told states alternate."""
    definition = monitor(times=times, no_data=no_data, recover=5.0)
    state, last = State(), {}
    for moment, values in enumerate(answers, 1):
        kept = msgspec.json.decode(msgspec.json.encode(state), type=State)
        state, found = step(definition, state, moment * S, Answer(values), groups_max)
        again, same = step(definition, kept, moment * S, Answer(values), groups_max)
        assert msgspec.json.encode((state, found)) == msgspec.json.encode((again, same))
        assert len(state.groups) <= groups_max
        for one in found:
            assert one.tell and one.state != last.get(one.group, "ok")
            last[one.group] = one.state


BAD = [
    {"name": "No"}, {"sql": "SELECT 1"}, {"search": None}, {"every_s": 5}, {"window_s": 0}, {"delay_s": -1}, {"recover": 11.0}, {"op": "<", "recover": 9.0},
    {"times": 0}, {"by": tuple("abcdef")}, {"by": ("a", "a")}, {"emails": ("a b@c",)}, {"emails": ("a@b\nBcc: c@d",)}, {"webhooks": (Webhook("ftp://a"),)},
    {"webhooks": (Webhook("http://user:pass@a"),)}, {"webhooks": (Webhook("http://["),)}, {"webhooks": (Webhook("http://a", "short"),)},
    {"window_s": 100 * 86_400}, {"emails": ("a@b.c",) * 11}, {"change_ago_s": 0},
]  # fmt: skip


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_definitions_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        checked(msgspec.structs.replace(monitor(every_s=60), **wrong), Limits(every_s_min=10))
    assert caught.value.hint
    assert "pass" not in caught.value.message


def test_secrets_are_not_shown() -> None:
    seen = shown(monitor(webhooks=(Webhook("https://hooks.example.com/T00/B00/token?x=1", "s" * 20), Webhook("http://a/"))))
    assert seen.webhooks == (Webhook("https://hooks.example.com/…", "…"), Webhook("http://a/"))
