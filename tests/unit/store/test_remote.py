"""The store over an object store that is not a directory: one contract on memory and S3, the failures on S3."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore, MemoryStore

from pulka.errors import Corrupt, Misconfigured, Temporary
from pulka.store.catalog import SqlCatalog
from pulka.store.check import check
from pulka.store.collect import orphans
from pulka.store.download import PART_BYTES, Downloads
from pulka.store.fragments import FragmentObjects
from pulka.store.location import Patience, open_store, probe
from pulka.store.repair import repair

QUICK = Patience(timeout_s=2, retry_s=0.3)


def s3_store(request: pytest.FixtureRequest, url: str = "") -> Any:
    return open_store(url or request.getfixturevalue("s3").bucket(), Path(), QUICK)


@pytest.fixture(params=["local", "memory", "s3"])
async def lake(request: pytest.FixtureRequest, tmp_path: Path, open_lake: Any) -> AsyncIterator[Any]:
    """Over each kind of store, whatever a test here does."""
    made: Any = {
        "local": lambda: LocalStore(tmp_path / "objects", mkdir=True),
        "memory": MemoryStore,
        "s3": lambda: s3_store(request),
    }
    async with open_lake(made[request.param]()) as opened:
        yield opened


async def filled(lake: Any, count: int = 8) -> Any:
    writer = await lake.writer()
    for _ in range(count):
        await lake.append(10, hours=(0, 4))
        await lake.settled(writer)
        await writer.flush()
    return writer


async def test_flush_merge_collect(lake: Any) -> None:
    writer = await filled(lake)
    assert await lake.numbers(writer) == list(range(80))
    compactor = lake.compactor()
    assert await compactor.run_once() == 2
    assert await lake.numbers(writer) == list(range(80))
    assert len(lake.object_keys()) == 18
    await lake.clock.advance(1e9)
    assert await compactor.collect() == 16
    assert lake.object_keys() == {f.key for f in await lake.catalog.fragments()}
    assert list((lake.directory / "spool").iterdir()) == []


async def test_flushed_and_merged_fragments_need_no_download(lake: Any) -> None:
    writer, objects = await filled(lake), lake.objects()
    compactor = lake.compactor()
    compactor._merger._objects = writer._objects
    await compactor.run_once()
    lease = await writer._objects.lease(await lake.catalog.fragments())
    if (cache := writer._objects._cache) is not None:
        assert (cache.counts.misses, cache.counts.hits) == (0, 18)
    lease.release(False)
    assert objects._cache is None or objects._cache.counts.hits == 0


async def test_a_lost_catalog_comes_back_and_the_store_checks(lake: Any) -> None:
    await filled(lake)
    compactor = lake.compactor()
    await compactor.run_once()
    await lake.clock.advance(1e9)
    await compactor.collect()
    before = await lake.catalog.fragments()
    again = await SqlCatalog.open(f"sqlite:///{lake.directory}/again.db", lake.clock)
    report = await repair(again, lake.store, lake.objects())
    assert (len(report.kept), len(report.left_out), report.unreadable) == (2, 0, ())
    assert await again.fragments() == before
    await again.close()
    assert [found async for found in check(lake.catalog, lake.store, lake.objects(), lake.clock, verify=True)] == []


async def test_damage_and_orphans_are_found(lake: Any) -> None:
    await filled(lake, 3)
    fragments = await lake.catalog.fragments()
    keys = [fragment.key for fragment in fragments]
    await lake.store.delete_async(keys[0])
    await lake.store.put_async(keys[1], b"short")
    await lake.store.put_async(keys[2], b"x" * fragments[2].bytes)
    await lake.store.put_async("t/logs/stray.parquet", b"PAR1")
    await lake.clock.advance(1e9)
    found = {(f.kind, f.key) async for f in check(lake.catalog, lake.store, lake.objects(), lake.clock)}
    assert found == {
        ("missing_object", keys[0]), ("size_mismatch", keys[1]), ("unreadable", keys[2]), ("orphan_object", "t/logs/stray.parquet"),
    }  # fmt: skip
    assert [key async for key in orphans(lake.catalog, lake.store, lake.clock, 0)] == ["t/logs/stray.parquet"]
    with pytest.raises(Temporary if not isinstance(lake.store, LocalStore) else Exception):
        lease = await lake.objects().lease(fragments[:1])
        next(iter(lease.paths.values())).stat()


async def test_deleting_twice_is_fine(lake: Any) -> None:
    await filled(lake, 2)
    keys = [fragment.key for fragment in await lake.catalog.fragments()]
    await lake.objects().delete(keys)
    await lake.objects().delete(keys)
    assert lake.object_keys() == set()


@pytest.mark.parametrize("at", range(1, 9))
async def test_a_failure_at_any_step_of_a_flush(lake: Any, new_fault: Any, at: int) -> None:
    fault = new_fault(at)
    writer = await lake.writer(fault)
    await lake.append(12, hours=(0, 5))
    await lake.settled(writer)
    await asyncio.gather(writer.flush(), return_exceptions=True)
    fault.at = -1
    await writer.flush()
    assert await lake.numbers(writer) == list(range(12))
    assert sum(f.rows for f in await lake.catalog.fragments()) == 12
    assert lake.object_keys() >= {f.key for f in await lake.catalog.fragments()}


@pytest.mark.parametrize("at", range(1, 8))
async def test_a_failure_at_any_step_of_a_merge(lake: Any, new_fault: Any, at: int) -> None:
    writer = await filled(lake)
    await asyncio.gather(lake.compactor(new_fault(at)).run_once(), return_exceptions=True)
    assert await lake.numbers(writer) == list(range(80))
    await lake.compactor().run_once()
    assert await lake.numbers(writer) == list(range(80))
    assert len(await lake.catalog.fragments()) in (1, 2)  # a window each, or folded into their day


async def test_a_merge_of_an_unreadable_copy_fetches_it_again(lake: Any) -> None:
    if isinstance(lake.store, LocalStore):
        return  # reads in place
    await filled(lake)
    compactor = lake.compactor()
    lease = await compactor._objects.lease(await lake.catalog.fragments())
    for path in lease.paths.values():
        data = bytearray(path.read_bytes())
        data[4:-1000] = b"\xff" * (len(data) - 1004)
        path.write_bytes(data)
    lease.release(False)
    assert await compactor.run_once() == 0
    assert await compactor.run_once() == 2


async def spooled(lake: Any) -> tuple[FragmentObjects, Any, Path]:
    """Objects, a fragment and a file with its bytes, which is not stored yet."""
    await filled(lake, 1)
    one = (await lake.catalog.fragments())[0]
    objects: FragmentObjects = lake.objects()
    path = objects.spool_path("again")
    lease = await objects.lease([one])
    path.write_bytes(lease.paths[one.id].read_bytes())
    lease.release(False)
    return objects, replace(one, id="again", key="t/logs/again.parquet"), path


async def test_a_repeated_put_is_one_object(lake: Any) -> None:
    objects, one, path = await spooled(lake)
    twin = path.with_suffix(".twin")
    twin.write_bytes(path.read_bytes())
    await objects.put(one, path)
    await objects.put(one, twin)  # its first answer was lost
    assert (await lake.store.head_async(one.key))["size"] == one.bytes


async def test_a_store_without_conditional_puts(lake: Any) -> None:
    objects, one, path = await spooled(lake)
    modes: list[str | None] = []

    class Older:
        def __getattr__(self, name: str) -> Any:
            return getattr(lake.store, name)

        async def put_async(self, key: str, file: Any, *, mode: str | None = None, **options: Any) -> Any:
            modes.append(mode)
            if mode == "create":
                raise GenericError("Server returned non-2xx status code: 501 Not Implemented: <Code>NotImplemented</Code>")
            return await lake.store.put_async(key, file, **options)

    objects._store = Older()  # type: ignore[assignment]
    await objects.put(one, path)
    path.write_bytes((await lake.store.get_async(one.key)).bytes())
    await objects.put(one, path)
    assert modes == ([None, None] if isinstance(lake.store, LocalStore) else ["create", None, None])


async def test_an_object_of_another_size_is_not_taken_for_the_fragment(lake: Any) -> None:
    objects, one, path = await spooled(lake)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        await objects.put(one, path)


async def test_large_objects_go_and_come_in_parts(lake: Any, tmp_path: Path) -> None:
    objects, one, path = await spooled(lake)
    size = 2 * PART_BYTES + (2 << 20) + 17
    path.write_bytes(bytes(range(256)) * (size // 256) + b"t" * (size % 256))
    whole, large = path.read_bytes(), replace(one, bytes=size)
    await objects.put(large, path)
    fetched = tmp_path / "fetched"
    await Downloads(lake.store, 2).to_file(large.key, size, fetched)
    assert fetched.read_bytes() == whole
    with pytest.raises(Corrupt, match="bytes in the store, not"):
        await Downloads(lake.store).to_file(large.key, size - 1, fetched)


async def test_the_footer_comes_without_the_rest(request: pytest.FixtureRequest, open_lake: Any) -> None:
    async with open_lake(s3_store(request)) as lake:
        await filled(lake, 1)
        one = (await lake.catalog.fragments())[0]
        objects = lake.objects()
        assert (await objects.footer(one.key))["pulka.id"] == one.id
        for wanted in (64, 10, one.bytes * 2):
            size, end = await objects._end(one.key, wanted)
            assert (size, len(end)) == (one.bytes, min(wanted, one.bytes))


# S3 alone


async def test_a_dead_endpoint_is_temporary_and_bounded(request: pytest.FixtureRequest, s3: Any, open_lake: Any) -> None:
    async with open_lake(s3_store(request)) as lake:
        writer = await filled(lake, 2)
        fragments = await lake.catalog.fragments()
        s3.stop()
        try:
            await lake.append(10)
            await lake.settled(writer)
            for act in (writer.flush(), lake.objects().lease(fragments), lake.objects().delete(["x"]), lake.objects().footer("x")):
                with pytest.raises(Temporary, match="connection refused") as caught:
                    await act
                assert "AWS_ENDPOINT_URL" in caught.value.hint
            with pytest.raises(Temporary):
                [found async for found in check(lake.catalog, lake.store, lake.objects(), lake.clock)]
            assert len(writer.fresh("t", "logs")) == 1
        finally:
            s3.start()
        await writer.flush()
        assert await lake.numbers(writer) == list(range(30))


async def test_the_probe_leaves_nothing(s3: Any) -> None:
    url = s3.bucket()
    store = open_store(url, Path(), QUICK)
    await probe(store, url)
    assert list(store.list()) == []


async def test_a_missing_bucket_is_named(s3: Any) -> None:
    with pytest.raises(Misconfigured, match=r"s3://no-such-lake/x: the bucket does not exist"):
        await probe(open_store("s3://no-such-lake/x", Path(), QUICK), "s3://no-such-lake/x")


async def test_a_dead_endpoint_at_the_start(s3: Any) -> None:
    url = s3.bucket()
    s3.stop()
    try:
        with pytest.raises(Temporary, match=r"s3://.*: the object store cannot be used now: connection refused"):
            await probe(open_store(url, Path(), QUICK), url)
    finally:
        s3.start()


async def test_missing_credentials_are_named(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3.bucket()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(Misconfigured, match="no credentials"):
        await probe(open_store(url, Path(), QUICK), url)


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", Misconfigured, "refuses access"),
        (403, "SignatureDoesNotMatch", Misconfigured, "refuses access"),
        (301, "PermanentRedirect", Misconfigured, "another region"),
        (503, "SlowDown", Temporary, "it answered 503"),
        (500, "InternalError", Temporary, "it answered 500"),
    ],
)
async def test_refusals_are_told_apart(monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: type[Exception], says: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>for AKIAKEY</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name, value in {"ACCESS_KEY_ID": "AKIAKEY", "SECRET_ACCESS_KEY": "sesame", "ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    async with server:
        with pytest.raises(kind, match=says) as caught:
            await probe(open_store("s3://lake/p", Path(), QUICK), "s3://lake/p")
    assert "AKIAKEY" not in repr(caught.value.__dict__)
    assert caught.value.__suppress_context__
