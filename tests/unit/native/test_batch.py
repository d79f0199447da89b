"""The bindings of event batches: what crosses the border, in which Arrow types, with which errors."""

import datetime

import pyarrow as pa
import pytest

from pulka._native import normalize, residual_get

OBJECTS = ['{"a":1,"b":"x\\"y"}', None, '{"a":1.5,"c":[1, 2]}', '{"a":"\\u004eaN"}']


def batch(**columns: list[object]) -> pa.RecordBatch:
    rows = len(next(iter(columns.values())))
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    times = pa.array([start + datetime.timedelta(seconds=row) for row in range(rows)], pa.timestamp("ns", tz="UTC"))
    return pa.record_batch({"timestamp": times, **{name: pa.array(values) for name, values in columns.items()}})


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("a", "i64", pa.array([1, None, None, None])),
        ("a", "bool", pa.array([None] * 4, pa.bool_())),
        ("a", "text", pa.array(["1", None, "1.5", "NaN"])),
        ("b", "str", pa.array(['x"y', None, None, None])),
        ("c", "json", pa.array([None, None, "[1, 2]", None])),
        ("absent", "timestamp", pa.array([None] * 4, pa.timestamp("ns", tz="UTC"))),
    ],
)
def test_residual_get(text: pa.DataType, path: str, kind: str, expected: pa.Array) -> None:
    assert residual_get(pa.array(OBJECTS, text), path, kind) == expected


def test_residual_get_reads_a_slice() -> None:
    found = residual_get(pa.array(OBJECTS).slice(2), "a", "f64")
    assert found[0].as_py() == 1.5
    assert str(found[1].as_py()) == "nan"


def test_wrong_arguments_are_value_errors() -> None:
    with pytest.raises(ValueError, match="unknown field type"):
        residual_get(pa.array(OBJECTS), "a", "int")
    with pytest.raises(ValueError, match="string_view, not Int64"):
        residual_get(pa.array([1]), "a", "i64")
    with pytest.raises(ValueError, match="cast it first"):
        normalize([batch(a=[datetime.date(2026, 1, 1)])], {})


def test_normalize_unites_columns_and_types() -> None:
    whole = normalize([batch(a=[1, 2]), batch(a=["x"], b=[True])], {"b": "bool"})
    assert whole.schema.names == ["timestamp", "b", "a", "a#str"]
    assert whole.column("a").to_pylist() == [1, 2, None]
    assert whole.column("a#str").to_pylist() == [None, None, "x"]
    assert whole.schema.field("a#str").metadata == {b"pulka.path": b"a"}
    assert whole.schema.field("a").metadata is None


def test_normalize_moves_sparse_fields_to_the_residual_and_back() -> None:
    sparse = normalize([batch(a=["x"] + [None] * 199, b=[1] * 200)], {})
    assert sparse.schema.names == ["timestamp", "b", "_residual"]
    assert sparse.column("_residual")[0].as_py() == '{"a":"x"}'
    dense = normalize([sparse.slice(0, 50)], {})
    assert dense.schema.names == ["timestamp", "a", "b"]
    assert dense.column("a").to_pylist() == ["x"] + [None] * 49
