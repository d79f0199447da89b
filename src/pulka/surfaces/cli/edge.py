"""`pulka edge`: what the services on a host, or in a capture, say to each other."""

import click

from pulka.surfaces.cli.capture import pcap

__all__ = ["edge"]


@click.group()
def edge() -> None:
    """See what services say to each other, without touching them."""


edge.add_command(pcap)
