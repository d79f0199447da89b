"""Which removals follow from policies: against the sentence that says it."""

from hypothesis import given
from hypothesis import strategies as st

from pulka.model.rules import ALL_TABLES, Condition, Removal, Retention, digest, expiry, takes_all
from pulka.model.windows import TimeRange

NOW, S = 10_000 * 1_000_000_000, 1_000_000_000
A, B, C = (Condition(name) for name in "abc")


def policy(keep_s: int, condition: Condition | None = None, table: str = "logs") -> Retention:
    return Retention(f"{table}{condition}", "t", table, keep_s, condition)


def is_removed(removals: tuple[Removal, ...], true: set[Condition], at_ns: int) -> bool:
    """A removal as its docstring says it."""
    return any(
        one.window.overlaps(at_ns, at_ns) and (one.condition is None or one.condition in true) and not true.intersection(one.unless) for one in removals
    )


keeps = st.integers(0, 6).map(lambda n: n * 10)
tables = st.dictionaries(st.sampled_from([A, B, C, None]), keeps)


@given(kept=tables, default=keeps, true=st.sets(st.sampled_from([A, B, C])), age=st.integers(0, 80))
def test_the_longest_condition_that_is_true_decides(kept, default, true, age) -> None:
    removals = expiry([policy(keep, condition) for condition, keep in kept.items()], "logs", default, NOW)
    matching = [keep for condition, keep in kept.items() if condition in true]
    keep = (0 if 0 in matching else max(matching)) if matching else kept.get(None, default)
    assert is_removed(removals, true, NOW - age * S) == bool(keep and age > keep)


@given(kept=tables, default=keeps, ages=st.tuples(st.integers(0, 80), st.integers(0, 80)))
def test_takes_all_is_true_of_every_row_or_says_no(kept, default, ages) -> None:
    removals = expiry([policy(keep, condition) for condition, keep in kept.items()], "logs", default, NOW)
    first, last = NOW - max(ages) * S, NOW - min(ages) * S
    worlds = [{c for i, c in enumerate((A, B, C)) if bits >> i & 1} for bits in range(8)]
    every = all(is_removed(removals, true, at) for true in worlds for at in (first, last))
    assert takes_all(removals, first, last) == every


def test_the_policy_of_all_tables_gives_way_to_a_tables_own() -> None:
    policies = [policy(60, table=ALL_TABLES), policy(0, table="spans")]
    assert expiry(policies, "logs", 5, NOW) == (Removal(None, TimeRange(None, NOW - 60 * S)),)
    assert expiry(policies, "spans", 5, NOW) == ()
    assert expiry([], "logs", 5, NOW) == (Removal(None, TimeRange(None, NOW - 5 * S)),)
    assert expiry([], "logs", 0, NOW) == ()


def test_a_shorter_rule_does_not_make_the_base_read_anything() -> None:
    removals = expiry([policy(10, A), policy(60)], "logs", 0, NOW)
    assert Removal(None, TimeRange(None, NOW - 60 * S)) in removals


def test_a_digest_changes_with_the_rules_that_are_due_only() -> None:
    def name(kept, age):
        return digest(expiry([policy(keep, condition) for condition, keep in kept.items()], "logs", 0, NOW), NOW - age * S, NOW - age * S)

    assert name({A: 10, None: 60}, 5) == ""
    assert name({A: 10, None: 60}, 20) == name({A: 15, None: 60}, 30) != ""
    assert name({A: 10, None: 60}, 20) != name({B: 10, None: 60}, 20)
    assert name({A: 10, B: 40}, 20) != name({A: 10}, 20)  # B's longer rule protects rows of A
