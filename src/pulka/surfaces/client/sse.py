"""Server-sent events, read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "Lines", "events"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, its data from JSON, and its id where it has one."""

    name: str
    data: Any
    id: str | None = None


class Lines:
    """The lines of a stream become events; one that is cut off is left out."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> Event | None:
        """The event that this line ends, if it ends one."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = self._fields.get(name, "") + value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        return Event(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id")) if "data" in fields else None


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a stream of lines."""
    taken = Lines()
    for line in lines:
        if (event := taken.take(line)) is not None:
            yield event
