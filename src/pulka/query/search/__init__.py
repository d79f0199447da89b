"""The search syntax for people: `service:web status:error "connection reset" -env:dev`. See docs/search.md.

In: a line of text, the table it is about, and the time now.
Out: a tree that prints back to the same search, the SQL it means, or what could be typed next.
Guarantees: any text gives a tree or a BadQuery that names the column; a value can only become the literal it is.
Never: runs anything, or nests deeper or grows longer than the SQL parser takes.
"""

from pulka.query.search.complete import Completion, Suggestion, complete
from pulka.query.search.parser import parse
from pulka.query.search.statement import Order, to_sql

__all__ = ["Completion", "Order", "Suggestion", "complete", "parse", "to_sql"]
