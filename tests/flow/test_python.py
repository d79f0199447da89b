"""`pulka.connect` against a real server and embedded: the page of the documentation runs on both."""

import datetime as dt
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from tests.processes import children
from tests.up import SOURCE, Up

import pulka
from pulka.errors import BadInput, BadQuery, Misconfigured, NotFound, Temporary

Start = Callable[..., Up]
PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.+?)```", PAGE, re.S)


@pytest.fixture(params=["server", "embedded"])
def connect(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    made: list[Any] = []
    if request.param == "server":
        url = request.getfixturevalue("start")().url

    def open_(*_: Any, **options: Any) -> Any:
        made.append(real(url) if request.param == "server" else real(tmp_path / "lake", create=True))
        return made[-1]

    real, real_async = pulka.connect, pulka.connect_async
    monkeypatch.setattr(pulka, "connect", open_)
    monkeypatch.setattr(pulka, "connect_async", lambda *_: real_async(url) if request.param == "server" else real_async(tmp_path / "async", create=True))
    request.addfinalizer(lambda: [one.close() for one in made])
    return open_


def test_the_documentation_runs(connect: Callable[..., Any]) -> None:
    assert len(BLOCKS) > 6
    one_of_both = [block for block in BLOCKS if "pulka.connect(" not in block or "7710" in block]
    exec(compile("\n".join(one_of_both), "docs/python.md", "exec"), {})


def test_data_of_every_kind_comes_back(connect: Callable[..., Any]) -> None:
    lake = connect()
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    table = pa.table(
        {
            "timestamp": pa.array([moment, moment], pa.timestamp("us", "UTC")), "n": pa.array([1, 2], pa.uint8()), "f": pa.array([1.5, None], pa.float32()),
            "s": pa.array(["a", "ü"]).dictionary_encode(), "ok": [True, False], "deep": [{"x": {"y": 1}}, {"x": {"y": 2}}], "list": [[1, 2], []],
            "day": pa.array([dt.date(2026, 1, 1)] * 2), "at": pa.array([dt.time(1, 2, 3)] * 2), "took": pa.array([dt.timedelta(seconds=1)] * 2, pa.duration("ns")),
            "price": pa.array([Decimal("1.25")] * 2), "big": pa.array(["x", "y"], pa.large_string()),
        }
    )  # fmt: skip
    for number, data in enumerate((table, table.to_batches()[0], table.to_reader(), pl.from_arrow(table), pl.from_arrow(table).lazy(), duckdb.from_arrow(table))):
        stored = lake.ingest(f"t{number}", data)
        assert (stored.rows, stored.rejected) == (2, 0), data
        rows = lake.sql(f"SELECT n, f, s, ok, deep.x.y AS y, list, price, big FROM t{number} ORDER BY n").to_pylist()
        assert rows == [
            {"n": 1, "f": 1.5, "s": "a", "ok": True, "y": 1, "list": "[1,2]", "price": 1.25, "big": "x"},
            {"n": 2, "f": None, "s": "ü", "ok": False, "y": 2, "list": "[]", "price": 1.25, "big": "y"},
        ], data
    assert lake.sql("SELECT timestamp FROM t0 LIMIT 1").to_pylist() == [{"timestamp": moment}]
    assert {table["name"] for table in lake.tables()} >= {"t0", "t3"}
    assert "deep.x.y" in [field["name"] for field in lake.fields("t0")]


def test_events_as_dicts_and_rejected_ones(connect: Callable[..., Any]) -> None:
    lake = connect()
    big = lake.ingest("logs", ({"n": n, "message": "x" * 2000} for n in range(9000)))  # more than one request
    assert (big.rows, big.rejected) == (9000, 0)
    assert lake.sql("SELECT count(*) AS n, count(DISTINCT n) AS d FROM logs").to_pylist() == [{"n": 9000, "d": 9000}]
    assert lake.ingest("logs", []).rows == 0
    lake.ingest("twice", {"n": 1})
    lake.ingest("twice", {"n": 1})  # on purpose
    assert len(lake.sql("SELECT n FROM twice")) == 2
    for wrong in ("text", 5, ["text"]):
        with pytest.raises(BadInput):
            lake.ingest("logs", wrong)
    with pytest.raises(BadInput):
        lake.ingest("No Table", {"n": 1})


def test_errors_windows_and_display(connect: Callable[..., Any]) -> None:
    lake = connect()
    lake.ingest("logs", [{"message": "<b>&", "n": n, "timestamp": (dt.datetime.now(dt.UTC) - dt.timedelta(hours=n)).isoformat()} for n in range(30)])
    with pytest.raises(BadQuery) as caught:
        lake.sql("SELECT nn FROM logs")
    assert caught.value.hint
    with pytest.raises(BadQuery):
        lake.search("servce:(")
    with pytest.raises(NotFound):
        lake.fields("nothing")
    assert len(lake.sql("SELECT n FROM logs", since=dt.timedelta(minutes=90))) == 2
    assert len(lake.sql("SELECT n FROM logs", until=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=90))) == 28
    assert len(lake.sql("SELECT n FROM logs", since="90m", limit=1)) == 1
    answer = lake.sql("SELECT message, n FROM logs")
    shown = answer._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>" not in shown
    assert "30 rows, the first 20 are shown" in shown
    assert "logs" in lake._repr_html_()
    assert pl.DataFrame(answer).height == 30
    assert duckdb.sql("SELECT count(*) FROM answer").fetchall() == [(30,)]
    assert list(answer)[0]["message"] == "<b>&"  # noqa: RUF015 - iteration is meant
    assert lake.sql("SELECT n FROM logs WHERE n < 0").to_polars().height == 0


def test_a_tail_ends_when_it_is_left(connect: Callable[..., Any]) -> None:
    lake = connect()
    seen: list[int] = []

    def read() -> None:
        for event in lake.tail("logs", where="n > 0", last=5):
            seen.append(event["n"])
            if len(seen) == 3:
                return

    lake.ingest("logs", [{"n": 0}, {"n": 1}])
    reader = threading.Thread(target=read)
    reader.start()
    while len(seen) < 1:
        reader.join(0.05)
    lake.ingest("logs", [{"n": 0}, {"n": 2}, {"n": 3}])
    reader.join(30)
    assert seen == [1, 2, 3]
    with pytest.raises(BadQuery):
        next(lake.tail("logs", where="servce = 1"))


def test_a_directory_that_a_server_holds_is_refused(start: Start) -> None:
    up = start()
    with pytest.raises(Misconfigured, match="in use") as caught:
        pulka.connect(up.state)
    assert "pulka.connect('http://" in caught.value.hint
    assert up.query("SELECT 1 AS one") == [{"one": 1}]
    with pytest.raises(Misconfigured, match="no state directory"):
        pulka.connect(up.state / "nothing")


def test_what_was_stored_embedded_is_there_for_a_server(start: Start, tmp_path: Path) -> None:
    with pulka.connect(tmp_path / "state", create=True) as lake:
        lake.ingest("logs", [{"n": 1}])
    with pulka.connect(tmp_path / "state") as lake:
        lake.ingest("logs", [{"n": 2}])
    assert [row["n"] for row in start().query("SELECT n FROM logs ORDER BY n")] == [1, 2]


def test_two_lakes_within_a_program_leave_no_process_behind(tmp_path: Path) -> None:
    before = children(os.getpid())
    with pulka.connect(tmp_path / "one", create=True) as one, pulka.connect(tmp_path / "two", create=True) as two:
        for lake, rows in ((one, 1), (two, 2)):
            lake.ingest("logs", [{"n": number} for number in range(rows)])
        assert [lake.sql("SELECT sum(length(repeat('x', n + 1))) AS s FROM logs").to_arrow().column("s").to_pylist() for lake in (one, two)] == [[1], [3]]
        assert len(children(os.getpid()) - before) == 2
    assert children(os.getpid()) <= before


def test_nobody_there() -> None:
    with pulka.connect("http://127.0.0.1:9") as lake, pytest.raises(Temporary, match="nothing listens"):
        lake.sql("SELECT 1")


def test_import_is_light() -> None:
    code = "import sys, pulka; print([name for name in ('pyarrow', 'httpx', 'datafusion', 'asyncio', 'numpy', 'polars') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pandas(connect: Callable[..., Any]) -> None:
    pd = pytest.importorskip("pandas")
    lake = connect()
    lake.ingest("logs", pd.DataFrame({"n": [1, 2], "s": ["a", None]}))
    frame = lake.sql("SELECT n, s FROM logs ORDER BY n").to_pandas()
    assert frame["n"].tolist() == [1, 2]
    assert frame["s"].tolist()[0] == "a" and frame["s"].isna().tolist() == [False, True]  # pandas 3 says NaN, those before None
