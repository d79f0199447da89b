"""Merging sorted fragments: Pulka's native merge beside DataFusion's sorted merge and DuckDB's sort, on the same files.

4M log lines lie in 16 and in 32 fragments, in the order of their time or dealt out like cards (several writers at once). Each engine runs in a
process of its own and writes one Parquet file with zstd 3. CPU-seconds and peak resident memory are the whole process's.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from data import bodies, logs
from pulka import _native
from pulka.model.tables import table
from table import markdown

RUNNER = '''
import json, re, resource, sys
engine, inputs, output, sort, layout, memory = json.loads(sys.argv[1])
order = ", ".join(f'{name.lstrip("-")} {"DESC" if name[0] == "-" else "ASC"} NULLS LAST' for name in sort)
if engine == "pulka":
    from pulka import _native
    _native.merge_fragments(inputs, [output], metadata={}, memory_bytes=memory, **layout)
elif engine == "datafusion":
    from datafusion import SessionConfig, SessionContext, col
    # One file is one sorted partition: the plan is a SortPreservingMerge without a sort.
    c = SessionContext(SessionConfig().with_target_partitions(len(inputs)).set("datafusion.execution.parquet.compression", "zstd(3)"))
    by = [col(f'"{name.lstrip("-")}"').sort(ascending=name[0] != "-", nulls_first=False) for name in sort]
    from pathlib import Path
    c.register_parquet("t", str(Path(inputs[0]).parent) + "/", file_sort_order=[by])
    plan = str(c.sql(f"SELECT * FROM t ORDER BY {order}").execution_plan())
    assert "SortPreservingMerge" in plan and "SortExec" not in plan, plan
    c.sql(f"COPY (SELECT * FROM t ORDER BY {order}) TO '{output}' STORED AS PARQUET").collect()
else:
    import duckdb
    c = duckdb.connect()
    c.execute("SET threads=1")
    c.execute(f"COPY (SELECT * FROM read_parquet({inputs!r}, union_by_name=true) ORDER BY {order}) TO '{output}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)")
used = resource.getrusage(resource.RUSAGE_SELF)
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(json.dumps([used.ru_utime + used.ru_stime, int(peak[1]) / 1024]))
'''


def load(rows: int) -> list[pa.RecordBatch]:
    """Log lines as the batches that are decoded from requests."""
    options = _native.DecodeOptions(declared=table("logs").columns)
    decoded = (_native.decode_json(body, 1_767_300_000_000_000_000, options).batch for body in bodies(logs(rows)))
    return [batch for batch in decoded if batch is not None]


def prepare(directory: Path, batches: list[pa.RecordBatch], inputs: int, dealt: bool) -> list[str]:
    """Fragments of all rows together, as the writer makes them."""
    directory.mkdir()
    paths = []
    for n in range(inputs):
        paths.append(str(directory / f"{n:02}.parquet"))
        if dealt:
            share = [batch.take(pa.array(range(n, batch.num_rows, inputs))) for batch in batches]
        else:
            share = batches[n * len(batches) // inputs : (n + 1) * len(batches) // inputs]
        _native.write_fragment(share, paths[-1], metadata={}, zstd_level=1, **_layout())
    return paths


def _layout() -> dict[str, object]:
    logs_table = table("logs")
    return {"declared": logs_table.columns, "sort": logs_table.sort, "bloom": logs_table.bloom}


def measure(engine: str, inputs: list[str], memory: int, rounds: int) -> list[object]:
    """CPU-seconds, peak MB and megabytes written: the medians."""
    results, stored = [], 0
    for _ in range(rounds):
        output = Path(inputs[0]).parents[1] / "out.parquet"
        command = [sys.executable, "-c", RUNNER, json.dumps([engine, inputs, str(output), table("logs").sort, _layout(), memory])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return [f"failed: {done.stderr.strip().splitlines()[-1][:80]}", "-", "-"]
        results.append(json.loads(done.stdout.splitlines()[-1]))
        stored = output.stat().st_size
        output.unlink()
        print(engine, len(inputs), results[-1], stored, file=sys.stderr)
    cpu, peak = (statistics.median(result[at] for result in results) for at in (0, 1))
    return [cpu, peak, stored / 1e6]


def main() -> None:
    """Measure all shapes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=4_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--memory-mb", type=int, default=128)
    arguments.add_argument("--only", choices=["pulka", "datafusion", "duckdb"])
    given = arguments.parse_args()
    engines = [given.only] if given.only else ["pulka", *(name for name in ("datafusion", "duckdb") if importlib.util.find_spec(name))]
    table_rows: list[list[object]] = []
    batches = load(given.rows)
    with tempfile.TemporaryDirectory() as directory:
        for count in (16, 32):
            for dealt in (False, True):
                inputs = prepare(Path(directory, f"{count}-{dealt}"), batches, count, dealt)
                for engine in engines:
                    cpu, peak, stored = measure(engine, inputs, given.memory_mb << 20, given.rounds)
                    shape = f"{count}, {'dealt' if dealt else 'by time'}"
                    if isinstance(cpu, float):
                        table_rows.append([shape, engine, f"{cpu:.1f}", f"{given.rows / cpu:,.0f}", f"{peak:.0f}", f"{stored:.1f}"])
                    else:
                        table_rows.append([shape, engine, cpu, "-", "-", "-"])
    columns = ["fragments", "engine", "CPU s", "rows/s/core", "peak MB", "written MB"]
    print(markdown(f"Merging {given.rows:,} rows", columns, table_rows))


if __name__ == "__main__":
    main()
