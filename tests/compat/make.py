"""Writes the fixtures of today's formats: `python -m tests.compat.make`. Run it once for each new version of a format.

A fixture that is committed is never written again: it stands for the files that users have.
"""

import asyncio
import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from pulka import _native
from pulka.model.tables import table
from pulka.model.windows import HOUR_NS
from pulka.seams import DedupKey, Fragment, Publication
from pulka.store import schema
from pulka.store.catalog import SqlCatalog
from pulka.store.fragments import FragmentOrigin, PositionRange, WriteOptions, fragment_of
from pulka.testing.clock import FakeClock

HERE = Path(__file__).parent
WINDOW_NS = 1_700_002_800_000_000_000
ORIGIN = FragmentOrigin(
    "01hf7yat00fixture000000001", "acme", "logs", WINDOW_NS, HOUR_NS, level=0, created_ns=1_700_010_000_000_000_000,
    positions=(PositionRange(2, 4, 9),), flush=((WINDOW_NS, HOUR_NS),),
)  # fmt: skip
DEDUP = DedupKey("acme", "logs", "client:k", 1_700_020_000_000_000_000, b'{"rows":5,"rejected":0}')


def events() -> list[dict[str, Any]]:
    """Every type, a field of two types, a sparse one, text that is no ASCII, nulls; in the order the fragment has them."""
    made = [
        {"timestamp": WINDOW_NS + 100 - n, "service": f"s{n // 20}", "message": f"żółw 🐢 {n}", "n": n, "share": n / 4, "ok": n % 2 == 0, "mixed": n if n % 3 else f"t{n}", "deep": {"list": [n, None]}}
        for n in range(40)
    ]  # fmt: skip
    made[7]["rare.field"] = 7
    del made[8]["share"]
    return made


def write_fragment(path: Path) -> Fragment:
    """The fragment of `events` by today's writer."""
    options = _native.DecodeOptions(declared=table("logs").columns, columns_max=9)
    batch = _native.decode_json("\n".join(map(json.dumps, reversed(events()))).encode(), WINDOW_NS, options).batch
    assert batch is not None
    description = _native.write_fragment([batch], str(path), metadata=ORIGIN.metadata(), **WriteOptions(columns_max=9).arguments(table("logs")))
    return fragment_of(ORIGIN, description)


async def _write_catalog(path: Path, fragment: Fragment) -> None:
    """A catalog with one live fragment, one that is retired, a position and a dedup key, as SQL text."""
    old = Fragment(**{name: getattr(fragment, name) for name in Fragment.__dataclass_fields__} | {"id": "retired", "key": "acme/logs/retired.parquet"})
    with tempfile.TemporaryDirectory() as directory:
        catalog = await SqlCatalog.open(f"sqlite:///{directory}/catalog.sqlite", FakeClock())
        await catalog.publish(Publication(add=(old,), positions={(2, "acme", "logs"): (0, 4)}))
        await catalog.publish(Publication(add=(fragment,), retire=("retired",), positions={(2, "acme", "logs"): (4, 9)}, dedup=(DEDUP,)))
        await catalog.close()
        with contextlib.closing(sqlite3.connect(f"{directory}/catalog.sqlite")) as connection:
            path.write_text("\n".join(connection.iterdump()) + "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "fragment.parquet"
        fragment = write_fragment(made)
        version = _native.inspect_fragment(str(made))["pulka.format"]
        _keep(HERE / f"fragment-v{version}.parquet", made.read_bytes())
        catalog = Path(directory) / "catalog.sql"
        asyncio.run(_write_catalog(catalog, fragment))
        _keep(HERE / f"catalog-v{schema.SCHEMA_VERSION}.sql", catalog.read_bytes())


def _keep(path: Path, data: bytes) -> None:
    if not path.exists():
        path.write_bytes(data)
        print(f"wrote {path.name}, {len(data)} bytes")


if __name__ == "__main__":
    main()
