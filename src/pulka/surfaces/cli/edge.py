"""`pulka edge`: what the services on a host, or in a capture, say to each other."""

import click

from pulka.surfaces.cli.capture import pcap
from pulka.surfaces.cli.edge_agent import doctor, plan, run, top

__all__ = ["edge"]


@click.group()
def edge() -> None:
    """See every service of this host that talks over the network, or of a capture, without touching it."""


for _command in (run, top, plan, doctor, pcap):
    edge.add_command(_command)
