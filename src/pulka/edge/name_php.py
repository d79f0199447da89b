"""PHP: the pool of php-fpm, else the project of composer.json (Laravel's artisan among them), else the script."""

import json
import re
from collections.abc import Sequence

from pulka.edge.files import Files, telling

__all__ = ["php_name"]


def php_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from a title (`php-fpm: pool www`) or a command line."""
    title = argv[0] if argv else ""
    if found := re.match(r"php-fpm[\d.]*: pool (\S+)", title):
        return (found.group(1), "php-fpm pool") if found.group(1) != "www" else ("php-fpm", "php-fpm pool")
    if title.startswith("php-fpm"):
        return "php-fpm", "executable"
    script = next((word for word in argv[1:] if not word.startswith("-")), None)
    if script is None:
        return None
    path = files.absolute(script)
    for directory in files.above(path.parent):
        if name := _composer(files.read(directory / "composer.json")):
            return name, "laravel" if path.name == "artisan" else "composer.json"
    found_name = telling(path.parent if path.name == "artisan" else path)
    return (found_name, "laravel" if path.name == "artisan" else "php script") if found_name else None


def _composer(text: str | None) -> str | None:
    try:
        name = json.loads(text or "{}").get("name", "")
    except (ValueError, AttributeError):
        return None
    return str(name).rpartition("/")[2] or None if name not in ("laravel/laravel", "") else None
