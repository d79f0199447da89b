"""Settings: one table of parameters, from which values, their origin and `docs/settings.md` are made.

Precedence: flags > `PULKA_*` environment > `./pulka.toml` > `$XDG_CONFIG_HOME/pulka/config.toml` > default.
Settings are data; the objects made from them are wired in `pulka.app`.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulka.errors import Misconfigured, nearest

__all__ = ["PARAMETERS", "Parameter", "Setting", "Settings", "load"]

Value = str | int | float | bool
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting: its name (unit last), default, and the sentence that the documentation prints."""

    name: str
    default: Value
    sentence: str
    minimum: float | None = None
    secret: bool = False

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return "PULKA_" + self.name.upper()

    @property
    def type(self) -> type[Value]:
        """The type of its values: that of the default."""
        return type(self.default)


def _parameters() -> tuple[Parameter, ...]:
    p = Parameter
    return (
        p("state_dir", "", "Directory of everything Pulka keeps; empty: `$XDG_STATE_HOME/pulka`."),
        p("http_listen", "127.0.0.1:7710", "Address of the HTTP API."),
        p("otlp_http_listen", "127.0.0.1:4318", "Second address of the same server, where OTLP exporters look by default; `off` for none."),
        p("otlp_grpc_listen", "127.0.0.1:4317", "Address of OTLP over gRPC; `off` for none."),
        p("catalog_url", "", "SQLAlchemy URL of the catalog; empty: SQLite in the state directory."),
        p("objects_url", "", "Where fragments are: `s3://bucket/prefix`, `gs://`, `az://`, `file://`; empty: the state directory. See storage.md."),
        p("objects_timeout_s", 20.0, "How long one request to a remote object store may take.", 0.1),
        p("objects_retry_s", 10.0, "How long a failing request to a remote object store is repeated.", 0),
        p("objects_concurrency", 16, "Requests at once to fetch from a remote object store; each holds up to 4 MiB.", 1),
        p("cache_bytes_max", 10240 * _MIB, "Disk space in the state directory for copies of a remote store's fragments; must hold what one query reads.", _MIB),
        p("journal_partitions", 4, "Partitions of the journal; fixed once the state directory exists.", 1),
        p("journal_commit_delay_ms", 2.0, "How long an append waits for others that share its fdatasync.", 0),
        p("journal_segment_bytes", 64 * _MIB, "Size of a journal segment file.", _MIB),
        p("journal_bytes_max", 4096 * _MIB, "Unreleased journal bytes beyond which intake answers 503.", _MIB),
        p("journal_backlog_bytes_max", 64 * _MIB, "Bytes that may wait for a journal commit.", _MIB),
        p("body_bytes_max", 64 * _MIB, "Largest request body, after decompression.", 1024),
        p("inflight_bytes_max", 256 * _MIB, "Request bytes in work at once; beyond it intake answers 503.", 1024),
        p("event_bytes_max", 16 * _MIB, "Largest single event; a larger one is rejected and named.", 1024),
        p("field_bytes_max", _MIB, "Longest text of one field; a longer one is cut and marked.", 64),
        p("columns_max", 1000, "Columns of one fragment; sparser fields share the residual column.", 8),
        p("dedup_window_s", 3600.0, "How long a retried batch is recognised.", 0),
        p("dedup_bytes_max", 64 * _MIB, "Memory for the keys of recent batches.", 1024),
        p("flush_age_s", 30.0, "Age at which buffered events become a fragment.", 0.05),
        p("flush_bytes", 32 * _MIB, "Buffered bytes of one table that become a fragment.", 1024),
        p("buffer_bytes_max", 64 * _MIB, "Buffered bytes over all tables; beyond it the largest table is flushed.", 1024),
        p("row_group_bytes", 32 * _MIB, "Bytes of the heaviest column in one row group of a fragment.", 1024),
        p("zstd_level", 3, "Compression level of merged fragments, 1 to 19.", 1),
        p("first_zstd_level", 1, "Compression level of fragments before their first merge, 1 to 19.", 1),
        p("window_s", 3600, "Length of a fragment's time window; divides a day.", 60),
        p("compaction_inputs", 8, "Fragments of one size class in a window that are merged.", 2),
        p("compaction_inputs_max", 32, "Most inputs of one merge.", 2),
        p("compaction_bytes_max", 1024 * _MIB, "Most input bytes of one merge; a process does one at a time.", _MIB),
        p("compaction_memory_bytes", 128 * _MIB, "Memory of one merge.", 8 * _MIB),
        p("compaction_cpu_share", 0.5, "Share of one core that merges may take; they rest in between.", 0.01),
        p("compaction_idle_s", 60.0, "How long a window that ended is quiet before its last few fragments are merged.", 0),
        p("compaction_fold_bytes", 8 * _MIB, "Windows that ended with fewer bytes than this are merged into one per day; 0: never.", 0),
        p("locality_rows", 1_000_000, "Rows from which on fragments are merged by sort key, so that each holds few services.", 1),
        p("collect_grace_s", 300.0, "How long a merged fragment's file stays for queries that still read it.", 0),
        p("retention_s", 0, "How long events of tables without a policy are kept; 0: for ever.", 0),
        p("rewrite_interval_s", 30.0, "How often deletes and expired events are looked for, to remove them from the fragments.", 0.05),
        p("query_memory_bytes", 512 * _MIB, "Memory of one query.", 16 * _MIB),
        p("search_bytes_max", 64 * _MIB, "Rows a selective query may gather by searching before it scans, decoded; 0: it only scans.", 0),
        p("query_time_s", 60.0, "Wall time of one query.", 0.1),
        p("query_rows", 100_000, "Most rows of one answer; more are cut and said so.", 1),
        p("query_text_bytes_max", _MIB, "Largest SQL text of one query.", 1024),
        p("query_concurrency", 8, "Queries that run at once; more wait, and take turns by tenant.", 1),
        p("query_tenant_concurrency", 4, "Queries of one tenant that run at once.", 1),
        p("query_tenant_memory_bytes", 2048 * _MIB, "Memory of all queries of one tenant; one that does not fit beside the others waits.", 16 * _MIB),
        p("query_apart_bytes", 32 * _MIB, "Stored bytes from which on a query runs in a process of low priority while other tenants ask too; 0: never.", 0),
        p("query_waiting_max", 64, "Queries of one tenant that wait; more are answered 503.", 1),
        p("query_wait_s", 10.0, "How long a query waits before it is answered 503.", 0),
        p("query_cache_bytes_max", 64 * _MIB, "Memory for answers over fragments that did not change, to give them again; 0: none.", 0),
        p("tail_buffer_bytes_max", 8 * _MIB, "Bytes that wait for one reader of a live tail; what does not fit is dropped and counted. As much is held for readers that come back.", 1024),
        p("tail_rows_per_s", 1000.0, "Events one live tail shows per second; more are dropped and counted.", 0.1),
        p("tail_subscribers_max", 16, "Live tails of one tenant at once.", 1),
        p("tail_heartbeat_s", 10.0, "How often a live tail without events says that it lives.", 0.05),
        p("monitors_max", 200, "Monitors of one tenant.", 1),
        p("monitor_groups_max", 100, "Groups of one monitor that have a state; more are left out and counted.", 1),
        p("monitor_interval_min_s", 10, "The shortest time between two evaluations of a monitor.", 1),
        p("monitor_lease_s", 15.0, "How long monitors stand still when the process that evaluates them dies and others share its catalog.", 0.5),
        p("notify_timeout_s", 10.0, "How long one attempt to send a notification may take.", 0.1),
        p("notify_retry_s", 86_400.0, "How long a notification is tried again before it is given up.", 0),
        p("smtp_url", "", "Mail server for notifications: `smtp://`, `smtps://` or `smtp+starttls://`, with `user:password@` if need be; empty: none.", secret=True),
        p("smtp_from", "pulka@localhost", "Sender of notifications by e-mail."),
        p("threads", 0, "Threads for decoding, merging and queries; 0: one per core.", 0),
        p("edge_enabled", "auto", "Whether `pulka up` also runs the agent of this host: `auto` when it may, `on` (nothing starts where it may not), `off`."),
        p("edge_otlp_url", "http://127.0.0.1:4318", "Where `pulka edge run` sends: the base URL of an OTLP receiver over HTTP."),
        p("edge_otlp_headers", "", "Headers of its requests, as `authorization=Bearer x,x-tenant=y`."),
        p("edge_otlp_timeout_s", 10.0, "How long one of its exports may take.", 0.1),
        p("edge_interval_s", 10.0, "How often it sends what it counted.", 0.1),
        p("edge_spool_bytes_max", 256 * _MIB, "Disk space for what it could not send yet; the oldest goes first.", _MIB),
        p("edge_ring_bytes", 4 * _MIB, "Its buffer between kernel and user space; a power of two.", 65536),
        p("edge_memory_bytes", 64 * _MIB, "Memory of its decoders; beyond it the largest connections are given up.", _MIB),
        p("edge_connections_max", 10_000, "Connections it follows at once; more are counted as refused.", 1),
        p("edge_keys_max", 10_000, "Different operations it tells apart in an interval; more are counted as `other`.", 1),
        p("edge_burst_bytes", 64 << 10, "Bytes of a message it looks at whole.", 256),
        p("edge_head_bytes", 512, "Bytes of each packet it looks at beyond that.", 16),
        p("edge_idle_s", 300.0, "How long a silent connection is followed.", 1),
        p("edge_poll_ms", 50, "How long records may wait for it in the kernel.", 1),
        p("edge_cpu_share", 0.2, "Share of one core that one of its features may take in the kernel before it is detached.", 0.001),
        p("edge_without", "", "Features of `pulka edge doctor` that are left off, separated by blanks; `uprobe_multi`: TLS is probed by perf events, the older way."),
        p("log_level", "info", "What Pulka says of itself on stderr: debug, info, warning, error."),
    )


PARAMETERS: tuple[Parameter, ...] = _parameters()
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from: `flag`, `env NAME`, a file's path, or `default`."""

    parameter: Parameter
    value: Value
    origin: str


class Settings:
    """All values. `settings["flush_age_s"]` gives one; `settings.origin(...)` says where it is from."""

    def __init__(self, values: Mapping[str, Setting]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name].value

    def __iter__(self) -> Any:
        return iter(self._values.values())

    def origin(self, name: str) -> str:
        """Where the value of `name` came from."""
        return self._values[name].origin

    @property
    def state_dir(self) -> Path:
        """The state directory, after its default."""
        return Path(self["state_dir"] or _xdg("XDG_STATE_HOME", ".local/state") / "pulka").expanduser()

    @property
    def threads(self) -> int:
        """The number of worker threads, after its default."""
        return int(self["threads"]) or os.cpu_count() or 1


def load(
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """Read all sources. Misconfigured names the source of a value that cannot be used."""
    env = os.environ if env is None else env
    files = _files() if files is None else files
    values = {parameter.name: Setting(parameter, parameter.default, "default") for parameter in PARAMETERS}
    for path in reversed(files):
        values.update(_settings(_read(path), str(path)))
    values.update(_settings(_from_env(env), "env", lambda name: f"env {_BY_NAME[name].env}"))
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values.update(_settings(given, "flag"))
    return Settings(values)


def _files() -> tuple[Path, ...]:
    return (Path("pulka.toml"), _xdg("XDG_CONFIG_HOME", ".config") / "pulka" / "config.toml")


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


def _from_env(env: Mapping[str, str]) -> dict[str, object]:
    return {p.name: env[p.env] for p in PARAMETERS if env.get(p.env, "") != ""}


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}", hint="mend or remove the file") from error


def _settings(raw: Mapping[str, object], source: str, origin: Any = None) -> dict[str, Setting]:
    settings = {}
    for name, value in raw.items():
        parameter = _BY_NAME.get(name)
        if parameter is None:
            hint = nearest(name, list(_BY_NAME)) or "`pulka config show` lists all settings"
            raise Misconfigured(f"there is no setting `{name}` ({source})", hint=hint)
        settings[name] = Setting(parameter, _convert(parameter, value, source), origin(name) if origin else source)
    return settings


def _convert(parameter: Parameter, value: object, source: str) -> Value:
    kind = parameter.type
    try:
        converted = kind(str(value)) if kind in (int, float) else str(value)
    except ValueError:
        raise Misconfigured(
            f"`{parameter.name}` must be a {'whole number' if kind is int else 'number'} ({source})",
            hint=parameter.sentence,
        ) from None
    if parameter.minimum is not None and isinstance(converted, int | float) and not converted >= parameter.minimum:
        raise Misconfigured(f"`{parameter.name}` must be at least {parameter.minimum:g} ({source})", hint=parameter.sentence)
    return converted
