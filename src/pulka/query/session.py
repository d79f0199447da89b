"""One DataFusion session per query, which holds that query's tables and nothing else."""

from pathlib import Path

from datafusion import DataFrame, RuntimeEnvBuilder, SessionConfig, SessionContext, SQLOptions

from pulka.query.functions.registry import register

__all__ = ["open_session", "planning_session", "read_only"]

_SETTINGS = {
    # Names are exact: fields that differ only by case are different fields.
    "datafusion.sql_parser.enable_ident_normalization": "false",
    "datafusion.sql_parser.map_string_types_to_utf8view": "false",
    # Late materialisation: columns of the result are decoded only for rows that pass the filters.
    "datafusion.execution.parquet.pushdown_filters": "true",
    "datafusion.execution.parquet.reorder_filters": "true",
    "datafusion.execution.parquet.bloom_filter_on_read": "true",
    "datafusion.execution.parquet.enable_page_index": "true",
    # The catalog knows the statistics already; footers are read when their fragment is scanned, not before.
    "datafusion.execution.collect_statistics": "false",
}


def open_session(memory_bytes: int, threads: int, spill: Path) -> SessionContext:
    """An empty session with its own memory pool; it spills to `spill` and knows no files, URLs or settings."""
    config = SessionConfig(_SETTINGS).with_information_schema(False).with_target_partitions(threads)
    runtime = RuntimeEnvBuilder().with_fair_spill_pool(memory_bytes).with_disk_manager_specified(spill)
    return _with_functions(SessionContext(config, runtime))


def planning_session() -> SessionContext:
    """A session that is meant for plans and a handful of rows only."""
    return _with_functions(SessionContext(SessionConfig(_SETTINGS).with_information_schema(False).with_target_partitions(1)))


def _with_functions(session: SessionContext) -> SessionContext:
    register(session)
    return session


def read_only(session: SessionContext, sql: str) -> DataFrame:
    """Bind `sql`; anything that is not a query is refused."""
    options = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
    return session.sql_with_options(sql, options)
