"""The templates of a field's texts: what kinds of messages there are, and how many of each."""

from typing import Any

from pulka.query.names import quote
from pulka.query.questions.answers import Asked
from pulka.query.questions.selection import Selection

__all__ = ["patterns"]


async def patterns(asked: Asked, table: str, field: str, chosen: Selection, limit: int) -> dict[str, Any]:
    """The most frequent templates first; `messages` counts all of them, shown or not."""
    sql = f"SELECT patterns({quote(field)}) AS found FROM {quote(table)} WHERE {chosen.sql()}"  # noqa: S608 - the reader's own condition
    rows = await asked.rows(sql)
    found = (rows[0]["found"] if rows else None) or []
    messages = sum(one["count"] for one in found)
    shown = [{**one, "share": one["count"] / messages} for one in found[:limit]]
    return {"table": table, "field": field, "messages": messages, "templates": len(found), "patterns": shown, "stats": asked.stats}
