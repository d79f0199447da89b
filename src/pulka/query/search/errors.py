"""What is wrong with a search, and where."""

from pulka.errors import BadQuery
from pulka.query.search.nodes import Span

__all__ = ["wrong"]


def wrong(message: str, span: Span, hint: str) -> BadQuery:
    """The error that something at `span` is wrong; people count columns from 1."""
    return BadQuery(f"column {span[0] + 1}: {message}", hint=hint, span=span)
