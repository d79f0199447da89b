import pytest

from pulka.errors import BadQuery


@pytest.fixture
def named(lake):
    lake.store([
        {"timestamp": 1, "service": "web", "http.status_code": 200, "@timestamp": "t", "user.@id": 3, "l.x": 9, "x": 1,
         'quo"te': 4, "Mixed": 5, "resource.0.end": 6}
    ])  # fmt: skip
    return lake


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select http.status_code from logs", 200),
        ("select HTTP.Status_Code from logs", 200),
        ("select logs.http.status_code from logs", 200),
        ("select l.http.status_code from logs as l", 200),
        ("select l.http.status_code from logs l where l.http.status_code = 200", 200),
        ('select "http.status_code" from logs', 200),
        ("select @timestamp from logs", "t"),
        ("select user.@id from logs", 3),
        ("select l.x from logs l", 1),
        ("select l.x from logs", 9),
        ('select "quo""te" from logs', 4),
        ("select resource.0.end from logs", 6),
        ("select Service from logs", "web"),
        ("select l.Service from logs l", "web"),
        ("SELECT mixed FROM logs WHERE SERVICE = 'web' AND service = 'web'", 5),
        ("select 'http.status_code' from logs", "http.status_code"),
        ("select 'it''s http.status_code' from logs -- http.status_code", "it's http.status_code"),
        ("select /* http.status_code */ 1.5 from logs", 1.5),
        ("select c.s from (select http.status_code as s from logs) c", 200),
        ("with c as (select http.status_code s from logs) select c.s from c", 200),
        ("select count(*) from logs where http.status_code between 100 and 300", 1),
    ],
)
def test_names_as_people_write_them(named, sql, expected):
    assert named.rows(sql) == [(expected,)]


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("select servce from logs", "no field `servce`", "`service`"),
        ("select http.status_cod from logs", "no field `http.status_cod`", "`http.status_code`"),
        ("select 1 from lgs", "no table `lgs`", "`logs`"),
        ("select 1 from Logs", "no table `Logs`", "`logs`"),
        ("select cuont(service) from logs", "no function `cuont`", "`count`"),
        ("selec 1", "SELECT", "SELECT"),
        ("select 1 from", "", ""),
    ],
)
def test_errors_name_the_nearest(named, sql, message, hint):
    with pytest.raises(BadQuery) as caught:
        named.rows(sql)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "DataFusion" not in caught.value.message
    assert "datafusion" not in caught.value.message


def test_errors_quote_neither_data_nor_literals(named):
    for sql in ("select cast(service as bigint) from logs", "select cast('hunter2' as bigint)"):
        with pytest.raises(BadQuery) as caught:
            named.rows(sql)
        assert "web" not in str(caught.value.as_dict())
        assert "hunter2" not in str(caught.value.as_dict())
