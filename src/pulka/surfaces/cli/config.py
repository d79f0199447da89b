"""`pulka config show`."""

import click

from pulka import config as settings
from pulka.surfaces.cli.output import format_option, print_rows

__all__ = ["config"]


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--origin", is_flag=True, help="Also say where each value comes from and what it does.")
@format_option
def show(origin: bool, format_: str | None) -> None:
    """Print every setting with its value.

    \b
    pulka config show --origin
    PULKA_FLUSH_AGE_S=5 pulka config show --format json
    """
    rows = [
        {
            "setting": s.parameter.name,
            "value": _shown(s.parameter, s.value),
            "origin": s.origin,
            "environment": s.parameter.env,
            "meaning": s.parameter.sentence,
        }
        for s in settings.load()
    ]
    print_rows(rows, format_, ["setting", "value", "origin", "environment", "meaning"] if origin else ["setting", "value"])


def _shown(parameter: settings.Parameter, value: object) -> object:
    """A URL may hold a password: it is never shown."""
    if parameter.secret and value:
        return "…"
    if parameter.name != "catalog_url" or not value:
        return value
    from sqlalchemy.engine import make_url

    return make_url(str(value)).render_as_string(hide_password=True)
