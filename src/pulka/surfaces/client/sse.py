"""Server-sent events, read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "events"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, its data from JSON, and its id where it has one."""

    name: str
    data: Any
    id: str | None = None


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a stream of lines; one that is cut off is left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = fields.get(name, "") + value.removeprefix(" ")
        elif "data" in fields:
            yield Event(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}
