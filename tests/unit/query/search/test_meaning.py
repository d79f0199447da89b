"""Random searches over random events: the engine's answer is that of a plain evaluator of the tree."""

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.query.conftest import Lake
from tests.unit.query.search.strategies import nodes

from pulka.query.schema import logical_tables
from pulka.query.search.fields import LEVELS, level_names
from pulka.query.search.literals import literal
from pulka.query.search.nodes import (
    And,
    Compare,
    Everything,
    Field,
    Has,
    Literal,
    Match,
    Not,
    Or,
    Pattern,
    Range,
    Regex,
    Wildcard,
)
from pulka.query.search.printer import to_text
from pulka.query.search.statement import to_sql
from pulka.query.search.typed import is_number

NOW_NS = 1_767_225_600_000_000_000
WORDS = ["a", "ab", "Ab", "b%", "_", "a\\b", "/a/b", "it's", "é", "É", "", "5", "10", "x\ny"]
IPS = ["10.0.0.1", "10.255.3.4", "11.0.0.1", "::ffff:10.1.2.3", "2001:db8::1", "2001:DB8:0::2", "fe80::1", "no address"]
EVENTS = {
    "timestamp": st.integers(0, 5).map(lambda n: NOW_NS + n * 1_000_000_000),
    "service": st.sampled_from(WORDS),
    "message": st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    "severity": st.sampled_from(["error", "ERROR", "Err", "warn", "INFO", "audit"]),
    "n": st.integers(-3, 12),
    "f": st.sampled_from([-1.5, 0.0, 0.5, 2.0, 10.0]),
    "ok": st.booleans(),
    "code": st.one_of(st.integers(3, 12), st.sampled_from(["a", "5", "50"])),
    "ip": st.sampled_from(IPS),
}
EVENT = st.fixed_dictionaries({"timestamp": EVENTS["timestamp"]}, optional={name: made for name, made in EVENTS.items() if name != "timestamp"})
NETWORKS = ["10.0.0.0/8", "10.0.0.0/31", "0.0.0.0/0", "2001:db8::/32", "::/0", "::ffff:10.0.0.0/104", "10.1.2.3/32", "10.8.0.0/13"]


def of(name, values):
    field, value = Field(name), values.map(lambda text: literal(text))
    return st.one_of(
        st.just(Has(field)), value.map(lambda one: Match(field, one)), st.builds(Compare, st.just(field), st.sampled_from([">=", ">", "<=", "<"]), value),
        st.builds(Range, st.just(field), st.none() | value, st.none() | value, st.booleans(), st.booleans()),
    )  # fmt: skip


TEXTS = st.sampled_from(WORDS)
VALUE = TEXTS.map(literal)
PATTERN = TEXTS.filter(bool).map(lambda text: Pattern((text, Wildcard.ANY))) | TEXTS.filter(bool).map(lambda text: Pattern((Wildcard.ONE, text, Wildcard.ANY)))
REGEX = st.sampled_from(["^a", "b$", "(?i)É", "[ab]{2}", "^$", "a/b"]).map(Regex)
LEAVES = st.one_of(
    st.just(Everything()),
    st.builds(Match, st.none() | st.just(Field("message")), VALUE | PATTERN | REGEX),
    st.builds(Match, st.sampled_from(["service", "code"]).map(Field), VALUE | PATTERN | REGEX),
    st.builds(Match, st.just(Field("ip")), st.sampled_from([*NETWORKS, *IPS]).map(literal)),
    st.builds(Match, st.just(Field("n")), st.just(Pattern(("1", Wildcard.ANY)))),
    of("service", TEXTS), of("code", st.sampled_from(["5", "10", "a", "50"])), of("n", st.integers(-3, 12).map(str) | st.just("1.5")),
    of("f", st.sampled_from(["-1.5", "0", "0.5", "2", "1e1"])), of("severity", st.sampled_from(["error", "WARNING", "info", "fatal"])),
    of("timestamp", st.sampled_from(["now", "2026-01-01T00:00:02Z", "now-1s"])),
    st.sampled_from(["true", "false"]).map(lambda text: Match(Field("ok"), Literal(text))),
)  # fmt: skip


def true_of(node, event):
    match node:
        case Everything():
            return True
        case Has(field):
            return event.get(field.name) is not None
        case Not(part):
            return not true_of(part, event)
        case And(parts):
            return all(true_of(part, event) for part in parts)
        case Or(parts):
            return any(true_of(part, event) for part in parts)
    name = node.field.name if node.field else "message"
    value = event.get(name)
    if value is None:
        return False
    match node:
        case Match(_, Regex(expression)):
            return re.search(expression.replace("$", r"\Z"), str(value)) is not None
        case Match(_, Literal() | Pattern() as wanted) if name == "message":
            return re.search(pattern_of(wanted), value, re.I | re.S) is not None
        case Match(_, Pattern() as wanted):
            return re.fullmatch(pattern_of(wanted), str(value), re.S) is not None
        case Match(_, Literal() as wanted):
            return equals(name, value, wanted)
        case Compare(_, op, bound):
            return between(name, value, *((bound, op == ">=", None, False) if op[0] == ">" else (None, False, bound, op == "<=")))
        case Range(_, low, high, low_included, high_included):
            return between(name, value, low, low_included, high, high_included)


def pattern_of(value):
    parts = (value.text,) if isinstance(value, Literal) else value.parts
    return "".join(re.escape(part) if isinstance(part, str) else {Wildcard.ANY: ".*", Wildcard.ONE: "."}[part] for part in parts)


def equals(name, value, wanted):
    if name == "severity":
        return value.lower() in level_names(wanted.text)
    if name == "ip" and "/" in wanted.text:
        return within(value, wanted.text)
    if name == "code":
        return str(value) == wanted.text
    return value == typed(name, wanted)


def within(text, network):
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address in ip_network(network) or (mapped is not None and mapped in ip_network(network))


def typed(name, wanted):
    if name in ("n", "f"):
        return float(wanted.text)
    if name == "ok":
        return wanted.text == "true"
    if name == "timestamp":
        return {"now": NOW_NS, "now-1s": NOW_NS - 1_000_000_000}.get(wanted.text, NOW_NS + 2_000_000_000)
    return wanted.text


def between(name, value, low, low_included, high, high_included):
    if low is None and high is None:
        return True
    if name == "severity":
        value, low, high = (None if one is None else rank(one if isinstance(one, str) else one.text) for one in (value, low, high))
        if value is None:
            return False
    elif name in ("code", "service") and all(bound is None or is_number(bound) for bound in (low, high)):
        try:
            value = float(value)
        except ValueError:
            return False
        low, high = (None if bound is None else float(bound.text) for bound in (low, high))
    else:
        value = str(value) if name == "code" else value
        low, high = (None if bound is None else typed(name, bound) for bound in (low, high))
    above = low is None or value > low or (low_included and value == low)
    return above and (high is None or value < high or (high_included and value == high))


def rank(level):
    names = level_names(level)
    return LEVELS.index(names) if names in LEVELS else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("meaning")


@given(
    stored=st.lists(EVENT, min_size=1, max_size=12),
    fresh=st.lists(EVENT, max_size=6),
    searches=st.lists(nodes(leaves=LEAVES), min_size=1, max_size=4),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_its_tree_is_true_of(folder, stored, fresh, searches):
    lake = Lake(folder)
    every = {"timestamp": NOW_NS, "service": "a", "message": "a", "severity": "a", "n": 1, "f": 0.5, "ok": True, "code": 7, "ip": "x"}
    events = [{**event, "id": number} for number, event in enumerate([every, {**every, "code": "x"}, *stored, *fresh])]
    lake.store(events[: 2 + len(stored)])
    if fresh:
        lake.buffer(events[2 + len(stored) :])
    tables = logical_tables(lake.published(), {})
    for node in searches:
        sql = to_sql(to_text(node), tables["logs"], columns=["id"], order="any", now_ns=NOW_NS)
        assert sorted(row[0] for row in lake.rows(sql)) == [event["id"] for event in events if true_of(node, event)], (to_text(node), sql)
