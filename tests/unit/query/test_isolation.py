import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulka.errors import BadQuery


@pytest.fixture
def guarded(lake):
    lake.store([{"timestamp": 1, "secret": "mine"}], table="vault", tenant="other")
    lake.store([{"timestamp": 1, "service": "s"}])
    return lake


@pytest.mark.parametrize(
    "sql",
    [
        "copy logs to '/tmp/out.parquet' stored as parquet",
        "copy (select * from logs) to '/tmp/out.parquet'",
        "create external table x stored as parquet location '/etc'",
        "create view x as select 1",
        "insert into logs select * from logs",
        "delete from logs",
        "drop table logs",
        "set datafusion.execution.batch_size = 1",
        "show tables",
        "describe logs",
        "explain select 1",
        "explain analyze select 1",
        "prepare x as select 1",
        "select 1; select 2",
        "select 1; drop table logs",
        "with x as (select 1) insert into logs select * from x",
        "select * from information_schema.tables",
        "select * from vault",
        "select * from datafusion.public.vault",
        "select * from read_parquet('/etc/passwd')",
        "select * from parquet_metadata('/etc/passwd')",
        "",
        "--",
    ],
)
def test_everything_but_a_select_over_own_tables_is_refused(guarded, sql):
    with pytest.raises(BadQuery):
        guarded.rows(sql)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_file_is_not_a_table(guarded, tmp_path, quote):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    for name in (path, f"file://{path}"):
        with pytest.raises(BadQuery):
            guarded.rows(f"select * from {quote}{name}{quote}")


def test_the_same_table_name_shows_each_tenant_its_own_rows(guarded):
    guarded.store([{"timestamp": 2, "service": "theirs"}], tenant="other")
    assert guarded.rows("select service from logs") == [("s",)]
    assert guarded.rows("select service from logs", tenant="other") == [("theirs",)]
    with pytest.raises(BadQuery):
        guarded.rows("select secret from logs")


@pytest.mark.parametrize(
    "sql",
    [
        "select * from logs, vault",
        "select * from logs where service in (select secret from vault)",
        "select (select secret from vault)",
        "with v as (select * from vault) select * from v",
        "select * from pg_catalog.pg_class",
        "select * from information_schema.df_settings",
        "select * from 'http://localhost:1/x.parquet'",
        "select * from 's3://bucket/x.parquet'",
        "select * from \"/proc/self/environ\"",
        "select * from read_csv('/etc/passwd')",
        "select * from metadata_cache()",
        "select * from statistics_cache()",
        "select * from list_files_cache()",
        "select getenv('HOME')",
        "select current_user()",
        "select pg_read_file('/etc/passwd')",
        "select lpad(secret, 3) from vault",
        "select * from buckets('1m', '1970-01-01', '1970-01-02') b, vault",
        "select unnest(patterns(secret)) from vault",
    ],
)
def test_nothing_beside_ones_own_tables_can_be_named(guarded, sql):
    with pytest.raises(BadQuery):
        guarded.rows(sql)
