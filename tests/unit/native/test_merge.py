"""The binding of the merge: outputs, rows to drop, cancelling. What a merge does to rows is tested in `crates/pulka-core`."""

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulka import _native

LAYOUT = {"declared": {"service": "str"}, "sort": ["service", "-timestamp"], "bloom": []}


def write(path: Path, rows: int, first: int = 0, width: int = 0) -> Path:
    numbers = range(first, first + rows)
    columns = {
        "timestamp": pa.array([n * 1000 for n in numbers], pa.timestamp("ns", tz="UTC")),
        "service": pa.array([f"s{n % 5}" for n in numbers]),
        "number": pa.array(numbers, pa.int64()),
        "text": pa.array([f"{n * 7919:0{width}x}" for n in numbers]),
    }
    fields = [pa.field(name, array.type, nullable=name != "timestamp") for name, array in columns.items()]
    batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))
    _native.write_fragment([batch], str(path), metadata={}, **LAYOUT)
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    return [str(write(tmp_path / f"in-{part}.parquet", 100, 100 * part)) for part in range(4)]


def outputs(tmp_path: Path, count: int) -> list[Path]:
    return [tmp_path / f"out-{n}.parquet" for n in range(count)]


def merge(inputs: list[str], outputs: list[Path], **more: object) -> list[dict[str, object]]:
    told = _native.merge_fragments(inputs, [str(path) for path in outputs], metadata={"pulka.id": "other"}, **LAYOUT, **more)
    return [json.loads(text) for text in told]


def test_outputs_are_disjoint_and_name_their_siblings(inputs: list[str], tmp_path: Path) -> None:
    paths = outputs(tmp_path, 8)
    told = merge(inputs, paths, output_rows=100)
    assert [description["rows"] for description in told] == [160, 160, 80]
    services = [set(pq.read_table(path)["service"].to_pylist()) for path in paths[:3]]
    assert services == [{"s0", "s1"}, {"s2", "s3"}, {"s4"}]
    assert not any(path.exists() for path in paths[3:])
    for path in paths[:3]:
        footer = _native.inspect_fragment(str(path), verify=True)
        assert footer["pulka.id"] == path.stem
        assert json.loads(footer["pulka.outputs"]) == ["out-0", "out-1", "out-2"]


def test_the_last_output_takes_the_rest(inputs: list[str], tmp_path: Path) -> None:
    assert [told["rows"] for told in merge(inputs, outputs(tmp_path, 2), output_rows=1)] == [80, 320]
    assert [told["rows"] for told in merge(inputs, [tmp_path / "whole.parquet"])] == [400]


def test_dropped_rows_are_left_out(inputs: list[str], tmp_path: Path) -> None:
    stored = [pq.read_table(path)["number"].to_pylist() for path in inputs]
    drop = [None, *(pa.array([number % 3 == 0 for number in numbers]) for numbers in stored[1:3])]
    (path,) = outputs(tmp_path, 1)
    merge(inputs, [path], drop=drop)
    kept = sorted(pq.read_table(path)["number"].to_pylist())
    assert kept == [n for n in range(400) if not 100 <= n < 300 or n % 3]


def test_nothing_is_written_when_every_row_is_dropped(inputs: list[str], tmp_path: Path) -> None:
    (path,) = outputs(tmp_path, 1)
    assert merge(inputs, [path], drop=[pa.array([True] * 100)] * 4) == []
    assert not path.exists()


@pytest.mark.parametrize("drop", [[pa.array([True])], [None] * 5, [pa.array([1] * 100)]])
def test_wrong_rows_to_drop_are_refused(inputs: list[str], tmp_path: Path, drop: list[object]) -> None:
    with pytest.raises(ValueError, match="drop"):
        merge(inputs, outputs(tmp_path, 1), drop=drop)


def test_a_cancelled_merge_leaves_no_file(inputs: list[str], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    cancel = _native.Cancel()
    cancel.cancel()
    assert cancel.cancelled
    with pytest.raises(_native.Cancelled):
        merge(inputs, outputs(tmp_path, 1), cancel=cancel)
    assert sorted(tmp_path.iterdir()) == before


def test_a_running_merge_stops_when_cancelled(tmp_path: Path) -> None:
    inputs = [str(write(tmp_path / f"in-{part}.parquet", 5000, 5000 * part, width=500)) for part in range(16)]
    before = sorted(tmp_path.iterdir())
    cancel, started = _native.Cancel(), threading.Event()

    def run() -> BaseException | None:
        started.set()
        try:
            merge(inputs, outputs(tmp_path, 1), cancel=cancel, zstd_level=19)
        except _native.Cancelled as error:
            return error
        return None

    result: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: result.append(run()))
    thread.start()
    started.wait()
    while len(sorted(tmp_path.iterdir())) == len(before):
        thread.join(0.001)
    cancel.cancel()
    thread.join()
    assert isinstance(result[0], _native.Cancelled)
    assert sorted(tmp_path.iterdir()) == before


MEASURE = """
import json, re, sys
from pulka import _native
inputs, output, layout = json.loads(sys.argv[1])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
before = peak()
_native.merge_fragments(inputs, [output], metadata={}, zstd_level=1, **layout)
print(peak() - before)
"""


def test_memory_is_bounded_whatever_the_width_of_rows(tmp_path: Path) -> None:
    """32 inputs with fields of 1 MB that hardly compress: 192 MB of text in a merge of 128 MB, which lie in turns."""
    inputs = []
    for part in range(32):
        noise = random.Random(part)
        texts = [noise.randbytes(1 << 19).hex() for _ in range(6)]
        times = pa.array([row * 32 + part for row in range(6)], pa.timestamp("ns", tz="UTC"))
        schema = pa.schema([pa.field("timestamp", times.type, nullable=False), pa.field("body", pa.string())])
        inputs.append(str(tmp_path / f"{part}.parquet"))
        batch = pa.RecordBatch.from_arrays([times, pa.array(texts)], schema=schema)
        _native.write_fragment([batch], inputs[-1], metadata={}, zstd_level=1, **LAYOUT)
    output = str(tmp_path / "out.parquet")
    command = [sys.executable, "-c", MEASURE, json.dumps([inputs, output, LAYOUT])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert pq.read_metadata(output).num_rows == 192
    assert int(done.stdout) <= 256, f"the merge took {done.stdout.strip()} MB"
