"""What intake is told: the server's settings, and what one sender asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

from pulka._native import DecodeOptions
from pulka.model.tables import table

__all__ = ["IngestOptions", "IntakeSettings", "decode_options"]


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Bounds of everything that comes in."""

    body_bytes_max: int = 64 << 20
    """One body, as sent and as decompressed."""
    inflight_bytes_max: int = 256 << 20
    """All bodies being read or decoded at one moment."""
    event_bytes_max: int = 16 << 20
    field_bytes_max: int = 1 << 20
    depth_max: int = 32
    columns_max: int = 1000
    rows_max: int = 1 << 20
    dedup_window_s: float = 3600
    dedup_bytes_max: int = 64 << 20
    decode_threads: int = 2


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How one sender names things. Hashable, so that decoder options are built once per kind of sender."""

    timestamp_fields: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    json_fields: tuple[str, ...] = ()

    def given(self) -> Mapping[str, object]:
        """Decoder arguments for what was asked; the rest keeps the decoder's own defaults."""
        arguments = {
            "timestamp_fields": list(self.timestamp_fields),
            "rename": dict(self.rename),
            "constants": dict(self.constants),
            "json_fields": list(self.json_fields),
        }
        return {name: value for name, value in arguments.items() if value}


def decode_options(name: str, options: IngestOptions, settings: IntakeSettings) -> DecodeOptions:
    """Decoder options of one table; BadInput when `name` cannot name a table."""
    return DecodeOptions(
        declared=dict(table(name).columns),
        event_bytes_max=settings.event_bytes_max,
        field_bytes_max=settings.field_bytes_max,
        depth_max=settings.depth_max,
        columns_max=settings.columns_max,
        rows_max=settings.rows_max,
        **options.given(),  # type: ignore[arg-type]
    )
