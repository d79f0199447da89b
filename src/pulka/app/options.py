"""Settings as the options of the store. Commands beside a lake read them, hence nothing of surfaces and queries: those take a second to import."""

from obstore.store import ObjectStore

from pulka.config import Settings
from pulka.store.compaction import CompactionSettings
from pulka.store.fragments import WriteOptions
from pulka.store.location import Patience, open_store
from pulka.store.writer import WriterSettings

__all__ = ["catalog_url", "compaction_settings", "object_store", "write_options", "writer_settings"]


def catalog_url(settings: Settings) -> str:
    """Where the catalog is."""
    return str(settings["catalog_url"]) or f"sqlite:///{settings.state_dir / 'catalog.sqlite'}"


def object_store(settings: Settings) -> ObjectStore:
    """Where fragments are."""
    patience = Patience(settings["objects_timeout_s"], settings["objects_retry_s"])
    return open_store(str(settings["objects_url"]), settings.state_dir / "objects", patience)


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
