"""Walks over the nodes of DataFusion's logical plans, each as the class of its kind."""

from collections.abc import Iterator
from typing import Any

from datafusion.plan import LogicalPlan

__all__ = ["chain", "nodes"]


def nodes(plan: LogicalPlan, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """Every node with the one above it, subqueries of filters and projections included."""
    variant = plan.to_variant()
    yield variant, parent
    for child in plan.inputs():
        yield from nodes(child, variant)
    for expression in _expressions(variant):
        for subquery in _subqueries(expression):
            yield from nodes(subquery)


def chain(plan: LogicalPlan) -> list[Any]:
    """The nodes from the top down, as far as each has one input."""
    found = [plan.to_variant()]
    while len(inputs := plan.inputs()) == 1:
        [plan] = inputs
        found.append(plan.to_variant())
    return found


def _expressions(variant: Any) -> list[Any]:
    kind = type(variant).__name__
    if kind == "Filter":
        return [variant.predicate()]
    return list(variant.projections()) if kind == "Projection" else []


def _subqueries(expression: Any) -> Iterator[Any]:
    open_ = [expression]
    while open_:
        current = open_.pop()
        if current.variant_name() == "ScalarSubquery":
            yield from current.to_variant().subquery().input()
            continue
        try:
            open_ += _operands(current)
        except Exception:  # noqa: S112 - a kind the binding cannot open; the caller counts the scans
            continue


def _operands(expression: Any) -> list[Any]:
    """The parts of an expression; the binding says that a leaf is its own only part."""
    if expression.variant_name() in ("Column", "Literal"):
        return []
    name = expression.canonical_name()
    return [part for part in expression.rex_call_operands() if part.canonical_name() != name]
