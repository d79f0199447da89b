"""Writes the generated pages of `docs/`: settings, commands, endpoints. `make docs` runs it; a test compares."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pulka import config
from pulka.surfaces.cli.main import cli

__all__ = ["PAGES", "commands", "main"]


def settings_page() -> str:
    """The table of settings."""
    rows = "\n".join(f"| `{p.name}` | `{p.env}` | `{_default(p)}` | {p.sentence} |" for p in config.PARAMETERS)
    return (
        "# Settings\n\n"
        "Precedence: command line flags, `PULKA_*` environment, `./pulka.toml`, `$XDG_CONFIG_HOME/pulka/config.toml`, default.\n"
        "`pulka config show --origin` prints each value and where it came from. Units are the last word of a name.\n\n"
        f"| name | environment | default | meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _default(parameter: config.Parameter) -> str:
    value = parameter.default
    if isinstance(value, int) and "bytes" in parameter.name and value % (1 << 20) == 0:
        return f"{value} ({value >> 20} MiB)"
    return f"{value:g}" if isinstance(value, float) else str(value) or " "


def commands_page() -> str:
    """Every command with its help text."""
    parts = ["# Commands\n\nData goes to stdout, everything else to stderr. Exit codes: 0 done, 1 answered no or bad data, "
             "2 usage, 3 temporary (try again), 4 internal, 130 interrupted.\n"]  # fmt: skip
    for path, command in commands(cli):
        context = click.Context(command, info_name=f"pulka {path}".strip(), max_content_width=100, terminal_width=100, help_option_names=["-h", "--help"])
        parts.append(f"\n## pulka {path}".rstrip() + f"\n\n```\n{command.get_help(context)}\n```\n")
    return "".join(parts)


def commands(group: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below `group`, with their paths."""
    if path:
        yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                yield from commands(command, f"{path} {name}".strip())


def endpoints_page() -> str:
    """Every endpoint of the OpenAPI document."""
    from pulka.surfaces.http.app import openapi_document

    rows = [
        f"| `{method.upper()} {path}` | {_first_sentence(operation)} |"
        for path, operations in sorted(openapi_document()["paths"].items())
        for method, operation in operations.items()
    ]
    return (
        "# HTTP endpoints\n\n"
        "The server describes itself at `/openapi.json` and `/docs`. Errors are problem details (RFC 9457) with `kind` and `hint`.\n"
        "OTLP over gRPC listens on `otlp_grpc_listen`.\n\n"
        "**Pulka checks no passwords or keys yet.** Whoever reaches a port may read, delete and name any tenant by `X-Pulka-Tenant`, which is believed:\n"
        "keep it on loopback, or behind a proxy that authenticates and sets that header itself.\n\n| endpoint | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def _first_sentence(operation: dict[str, str]) -> str:
    text = " ".join(operation.get("description", operation.get("summary", "")).split())
    return text.split(". ")[0].rstrip(".")


def protocols_page() -> str:
    """Protocols that the edge decodes, with what shows that it does."""
    from pulka import _native

    agreement = _agreement()
    rows = [
        f"| {title} | `{name}` | {versions} | {shows} | {agreement.get(name, 'unit and property tests')} |"
        for name, title, versions, shows in _native.edge_protocols()
    ]
    return (
        "# Protocols at the edge\n\n"
        "What `pulka edge` decodes. A connection's protocol is found by its content, confirmed in both directions; ports do not matter. Every decoder is also\n"
        "tested with bytes cut anywhere, gaps, and random bytes. The last column counts items (requests, answers, names) of captures of real traffic of which\n"
        "tshark says the same; `tests/captures` compares and writes `edge-agreement.tsv`.\n\n"
        "| protocol | name | versions | shown | agrees with tshark |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def support_page() -> str:
    """What the edge was shown to see: real servers and clients, TLS libraries, captures."""
    from pulka import _native

    agreement, live = _agreement(), _rows("edge-live.tsv")
    protocols = []
    for name, title, versions, _shows in _native.edge_protocols():
        seen = [f"{what}: {count}" for kind, known, what, count, _ends in live if (kind, known) == ("protocol", name)]
        protocols.append(f"| {title} | {versions} | {'<br>'.join(seen) or 'not run'} | {agreement.get(name, 'none: unit and property tests')} |")
    tls = [f"| {name} | {versions} | {count} | {ends} |" for kind, name, versions, count, ends in live if kind == "tls"]
    return (
        "# What the edge was shown to see\n\n"
        "Written by tests. `live`: `make test-live` ran these servers and clients on Linux 6.18 (x86-64); so many transactions were made, as the client or the server's own\n"
        "log counted them, and all were seen by the agent at both ends of the connection, with the same operations and errors, and by a capture of the same\n"
        "traffic (`edge-live.tsv`). `captures`: of recorded traffic of others, so many items are what tshark says (`edge-agreement.tsv`). Versions are what\n"
        "the decoder is written for; those that no row names were not run. (MongoDB's own server was not had where these tests ran: FerretDB speaks its protocol, but\n"
        "neither compresses nor takes writes that nobody waits for. ScyllaDB was not had either.)\n\n"
        "| protocol | versions | live | captures |\n|---|---|---|---|\n" + "\n".join(protocols) + "\n\n"
        "## Within TLS\n\n| library | version, and who used it | transactions seen, all that were made | ends |\n|---|---|---|---|\n" + "\n".join(tls) + "\n\n"
        "Java's own TLS is not seen; a test holds that its connections are counted as encrypted, by service. rustls is found by the names of its functions: a\n"
        "program that was stripped, or optimised across crates, is counted as encrypted too. So are Go programs without a symbol table and BoringSSL without symbols.\n"
    )


def _rows(file: str) -> list[list[str]]:
    lines = (Path(__file__).parents[4] / "docs" / file).read_text().splitlines()[1:]
    return [line.split("\t") for line in lines]


def _agreement() -> dict[str, str]:
    return {name: f"{equal} of {total} in {captures} captures" for name, captures, equal, total in _rows("edge-agreement.tsv")}


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "endpoints.md": endpoints_page,
    "edge-protocols.md": protocols_page,
    "edge-support.md": support_page,
}


def main() -> None:
    """Write all pages into the directory given."""
    directory = Path(sys.argv[1])
    for name, page in PAGES.items():
        (directory / name).write_text(page())


if __name__ == "__main__":
    main()
