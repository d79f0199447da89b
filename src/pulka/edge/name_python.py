"""Python: what the server (gunicorn, uvicorn, celery) is told to run, else the module, else the script."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from pulka.edge.files import GENERIC, Files, telling

__all__ = ["python_name"]

_SERVERS = {"gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "uwsgi"}
_FLAGS_WITH_VALUE = {"-W", "-X", "--check-hash-based-pycs"}


def python_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from a command line that begins with the interpreter, or with a title that a server gave itself."""
    if found := re.match(r"(gunicorn): (?:master|worker) \[(.+)\]", argv[0] if argv else ""):
        return _module(found.group(2), files), "gunicorn"
    rest = _after_interpreter(argv)
    if not rest:
        return None
    if rest[0] == "-m" and len(rest) > 1:
        return _program(rest[1].partition(".")[0], rest[2:], files) or (_module(rest[1], files), "python module")
    program = PurePosixPath(rest[0]).name
    return _program(program, rest[1:], files) or _script(rest[0], files)


def _after_interpreter(argv: Sequence[str]) -> list[str]:
    rest = list(argv[1:])
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[2:] if rest[0] in _FLAGS_WITH_VALUE else rest[1:]
    return [] if rest and rest[0] == "-c" else rest


def _program(program: str, arguments: list[str], files: Files) -> tuple[str, str] | None:
    if program in _SERVERS:
        given = _option(arguments, "-n", "--name") if program == "gunicorn" else None
        target = given or next((word for word in arguments if re.fullmatch(r"[\w.]+:[\w.()]+", word)), None) or _last_module(arguments)
        return (given or _module(target, files), program) if target else None
    if program == "celery":
        app = _option(arguments, "-A", "--app")
        return (_module(app, files), "celery") if app else None
    if program == "flask":
        app = _option(arguments, "-A", "--app")
        return (_module(app, files) if app else _directory(files), "flask")
    return None


def _last_module(arguments: list[str]) -> str | None:
    """gunicorn also takes a bare module as its last word."""
    last = arguments[-1] if arguments else ""
    return last if re.fullmatch(r"[a-z_][\w.]*", last) and (len(arguments) < 2 or not arguments[-2].startswith("-")) else None


def _option(arguments: Sequence[str], *names: str) -> str | None:
    for index, word in enumerate(arguments):
        if word in names and index + 1 < len(arguments):
            return arguments[index + 1]
        for name in names:
            if name.startswith("--") and word.startswith(name + "="):
                return word[len(name) + 1 :]
    return None


def _module(target: str, files: Files) -> str:
    """`shop.main:app` is shop; of `main:app` the directory says more."""
    parts = [part for part in target.partition(":")[0].removesuffix(".py").split(".") if part]
    return next((part for part in parts if part.lower() not in GENERIC), "") or _directory(files) or parts[0]


def _directory(files: Files) -> str:
    return telling(PurePosixPath(files.cwd or "/")) or ""


def _script(script: str, files: Files) -> tuple[str, str] | None:
    path = files.absolute(script)
    if path.name == "manage.py":
        return telling(path.parent) or "django", "django project"
    top = None
    for directory in files.above(path.parent):
        if not files.exists(directory / "__init__.py"):
            break
        top = directory
    if top is not None:
        return telling(top) or top.name, "python package"
    name = telling(path)
    return (name, "python script") if name else None
