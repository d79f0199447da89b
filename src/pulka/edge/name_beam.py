"""Erlang and Elixir: the release or the node's name."""

from collections.abc import Sequence

from pulka.edge.files import Files

__all__ = ["beam_name"]


def beam_name(argv: Sequence[str], files: Files) -> tuple[str, str] | None:
    """(name, source) from `beam.smp ... -sname shop@host ...`; RabbitMQ's node is called `rabbit` everywhere."""
    for option in ("-sname", "-name", "--sname", "--name"):
        if option in argv[:-1]:
            node = argv[list(argv).index(option) + 1].partition("@")[0]
            return ("rabbitmq" if node == "rabbit" else node), "erlang node"
    if any("rabbitmq" in word for word in argv):
        return "rabbitmq", "erlang node"
    return None
