"""Settings as the options of the parts that they are about."""


from obstore.store import ObjectStore

from pulka.config import Settings
from pulka.intake.options import IntakeSettings
from pulka.query.turns import TurnSettings
from pulka.store.compaction import CompactionSettings
from pulka.store.fragments import WriteOptions
from pulka.store.location import Patience, open_store
from pulka.store.writer import WriterSettings
from pulka.surfaces.http.services import HttpSettings

__all__ = ["catalog_url", "compaction_settings", "http_settings", "intake_settings", "object_store", "turn_settings", "write_options", "writer_settings"]


def catalog_url(settings: Settings) -> str:
    """Where the catalog is."""
    return str(settings["catalog_url"]) or f"sqlite:///{settings.state_dir / 'catalog.sqlite'}"


def object_store(settings: Settings) -> ObjectStore:
    """Where fragments are."""
    patience = Patience(settings["objects_timeout_s"], settings["objects_retry_s"])
    return open_store(str(settings["objects_url"]), settings.state_dir / "objects", patience)


def intake_settings(settings: Settings) -> IntakeSettings:
    """Of intake."""
    return IntakeSettings(
        **{name: settings[name] for name in ("body_bytes_max", "inflight_bytes_max", "event_bytes_max", "field_bytes_max")},
        **{name: settings[name] for name in ("columns_max", "dedup_window_s", "dedup_bytes_max")},
        decode_threads=settings.threads,
    )


def write_options(settings: Settings, zstd_level: int) -> WriteOptions:
    """How a fragment is written."""
    return WriteOptions(settings["row_group_bytes"], zstd_level, settings["columns_max"])


def writer_settings(settings: Settings) -> WriterSettings:
    """Of the writer."""
    return WriterSettings(
        **{name: settings[name] for name in ("flush_bytes", "flush_age_s", "buffer_bytes_max", "dedup_window_s")},
        buffer_bytes_hard=settings["buffer_bytes_max"] * 3 // 2,
        window_ns=settings["window_s"] * 1_000_000_000,
        tick_s=min(0.5, settings["flush_age_s"] / 4),
        write=write_options(settings, settings["first_zstd_level"]),
    )


def compaction_settings(settings: Settings) -> CompactionSettings:
    """Of merges."""
    return CompactionSettings(
        fragments_per_class=settings["compaction_inputs"],
        inputs_max=settings["compaction_inputs_max"],
        memory_bytes=settings["compaction_memory_bytes"],
        cpu_share=min(1.0, settings["compaction_cpu_share"]),
        # The inputs of a merge are leased at once, and the cache of a remote store must hold them.
        input_bytes_max=min(settings["compaction_bytes_max"], settings["cache_bytes_max"]),
        closed_after_s=settings["compaction_idle_s"],
        fold_bytes=settings["compaction_fold_bytes"],
        locality_rows=settings["locality_rows"],
        interval_s=min(5.0, max(0.1, settings["compaction_idle_s"])),
        retired_grace_s=settings["collect_grace_s"],
        write=write_options(settings, settings["zstd_level"]),
    )


def turn_settings(settings: Settings) -> TurnSettings:
    """Of queries that run at once."""
    return TurnSettings(
        settings["query_concurrency"], settings["query_tenant_concurrency"], settings["query_tenant_memory_bytes"], settings["query_waiting_max"],
        settings["query_wait_s"],
    )  # fmt: skip


def http_settings(settings: Settings) -> HttpSettings:
    """Of the HTTP and gRPC surfaces."""
    return HttpSettings(
        query_rows_max=settings["query_rows"],
        summary_bytes_max=settings["query_memory_bytes"] // 4,
        question_bytes_max=8 * settings["query_text_bytes_max"],  # JSON may write a character in six bytes
        grpc_message_bytes_max=settings["body_bytes_max"],
    )
