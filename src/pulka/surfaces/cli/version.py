"""`pulka version`."""

import platform

import click

import pulka

__all__ = ["version"]


@click.command()
def version() -> None:
    """Print the versions of Pulka and of what it stands on."""
    from importlib.metadata import version as installed

    click.echo(f"pulka {pulka.__version__}")
    for name in ("datafusion", "pyarrow", "obstore"):
        click.echo(f"{name} {installed(name)}")
    click.echo(f"python {platform.python_version()}")
