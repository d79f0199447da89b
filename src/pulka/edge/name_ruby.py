"""Ruby: the tag that puma, sidekiq and unicorn put into their title, else the Rails application, else the script."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from pulka.edge.files import Files, telling

__all__ = ["ruby_name"]

_SERVERS = {"puma", "unicorn", "rails", "rackup", "thin", "passenger", "sidekiq", "bundle", "rake", "spring", "resque", "bundler"}


def ruby_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from a title (`puma 6.4 (tcp://...) [shop]`) or a command line."""
    title = argv[0] if argv else ""
    if found := re.match(r"(puma): .*\[([^\]]+)\]$|puma [\d.]+ \(.*\) \[([^\]]+)\]", title):
        return found.group(2) or found.group(3), "puma"
    if found := re.match(r"sidekiq [\d.]+ (\S+) \[", title):
        return found.group(1), "sidekiq"
    if name := _rails(files):
        return name, "rails"
    words = [word for word in argv[1:] if not word.startswith("-")]
    script = files.absolute(words[0]) if words else None
    if script is not None and script.name in _SERVERS:
        name = telling(PurePosixPath(files.cwd or "/"))
        return (name, "ruby directory") if name else None
    found_name = telling(script) if script is not None else None
    return (found_name, "ruby script") if found_name else None


def _rails(files: Files) -> str | None:
    found = re.search(r"^module\s+(\w+)", files.read("config/application.rb") or "", re.MULTILINE)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found.group(1)).lower() if found else None
