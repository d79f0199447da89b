"""The fragment cache: whatever is leased is there and whole, nobody fetches twice, and the bound holds."""

import asyncio
import errno
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulka.errors import Corrupt, LimitExceeded, Misconfigured, Temporary
from pulka.seams import Fragment, Lease
from pulka.store.cache import FragmentCache

SIZE = 100


def fragment(name: str, size: int = SIZE) -> Fragment:
    return Fragment(name, "t", "logs", f"t/logs/{name}.parquet", 0, 1, 0, 0, 1, size, 1, 0, 0, ())


def content(one: Fragment) -> bytes:
    return b"PAR1" + one.id.encode().ljust(one.bytes - 8, b".")[: one.bytes - 8] + b"PAR1"


class Origin:
    """Stands for the object store: writes what a fragment holds, waits while `gate` is shut, fails when told to."""

    def __init__(self) -> None:
        self.fetched: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []

    async def to_file(self, key: str, size: int, path: Path) -> None:
        name = Path(key).stem
        self.fetched[name] += 1
        path.write_bytes(content(fragment(name, size))[: size // 2])
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        path.write_bytes(content(fragment(name, size)))


class Bench:
    def __init__(self, directory: Path, copies: float = 3) -> None:
        self.directory = directory / "cache"
        self.origin = Origin()
        self.bytes_max = int(copies * SIZE)
        self.cache = self.opened()

    def opened(self) -> FragmentCache:
        """As after a restart."""
        cache = FragmentCache(self.directory, self.bytes_max, self.origin)  # type: ignore[arg-type]
        cache.prepare()
        return cache

    async def read(self, *names: str) -> None:
        """Lease, see that everything is there, let go."""
        lease = await self.cache.lease([fragment(name) for name in names])
        whole(lease, *names)
        lease.release(False)

    def files(self) -> set[str]:
        return {path.stem if path.suffix == ".parquet" else path.name for path in self.directory.iterdir()}


def whole(lease: Lease, *names: str) -> None:
    assert lease.paths.keys() == set(names)
    for name in names:
        assert lease.paths[name].read_bytes() == content(fragment(name))


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0.001)


async def test_what_was_fetched_is_there_the_next_time(bench: Bench) -> None:
    await bench.read("a", "b")
    await bench.read("a", "b")
    assert bench.origin.fetched == {"a": 1, "b": 1}
    assert (bench.cache.counts.hits, bench.cache.counts.misses, bench.cache.counts.fetched_bytes) == (2, 2, 2 * SIZE)
    assert (bench.cache.bytes, bench.cache.pinned_bytes) == (2 * SIZE, 0)


async def test_the_least_recently_used_goes(bench: Bench) -> None:
    await bench.read("a", "b", "c")
    await bench.read("a")
    await bench.read("d")
    assert bench.files() == {"c", "a", "d"}
    assert bench.cache.counts.evictions == 1


async def test_readers_of_one_fragment_share_its_download(bench: Bench) -> None:
    bench.origin.gate.clear()
    readers = [asyncio.create_task(bench.read("a", name)) for name in "abbc"]
    await turns()
    bench.origin.gate.set()
    await asyncio.gather(*readers)
    assert bench.origin.fetched == {"a": 1, "b": 1, "c": 1}


async def test_a_reader_that_gives_up_leaves_the_download_to_the_others(bench: Bench) -> None:
    bench.origin.gate.clear()
    first, second = (asyncio.create_task(bench.read("a")) for _ in range(2))
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    bench.origin.gate.set()
    await second
    assert bench.origin.fetched == {"a": 1}


async def test_a_download_nobody_waits_for_stops_and_leaves_nothing(bench: Bench) -> None:
    bench.origin.gate.clear()
    reader = asyncio.create_task(bench.read("a"))
    await turns()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await turns()
    assert (bench.files(), bench.cache.bytes, bench.cache.pinned_bytes) == (set(), 0, 0)
    bench.origin.gate.set()
    await bench.read("a")
    assert bench.origin.fetched == {"a": 2}


async def test_what_is_read_never_goes_and_others_wait(bench: Bench) -> None:
    held = await bench.cache.lease([fragment("a"), fragment("b")])
    waiting = asyncio.create_task(bench.read("c", "d"))
    await turns()
    assert not waiting.done()
    whole(held, "a", "b")
    await bench.read("b", "c")  # there is room for one more
    held.release(False)
    await waiting
    assert bench.files() == {"c", "d", "b"}


async def test_a_lease_that_never_fits_says_so(bench: Bench) -> None:
    with pytest.raises(LimitExceeded) as caught:
        await bench.read("a", "b", "c", "d")
    assert "cache_bytes_max" in caught.value.hint
    assert bench.cache.pinned_bytes == 0


async def test_a_failed_download_is_nobodys_copy(bench: Bench) -> None:
    bench.origin.errors = [Temporary("away")]
    with pytest.raises(Temporary, match="away"):
        await bench.read("a", "b")
    await turns()
    assert bench.cache.pinned_bytes == 0
    await bench.read("a", "b")
    assert "a.0.part" not in bench.files()


async def test_an_object_that_is_gone(bench: Bench) -> None:
    bench.origin.errors = [FileNotFoundError("no such key")]
    with pytest.raises(Temporary, match="`logs` is not in the object store"):
        await bench.read("a")


async def test_an_object_of_another_size_is_corrupt(bench: Bench) -> None:
    bench.origin.errors = [Corrupt("short")]
    with pytest.raises(Corrupt):
        await bench.read("a")
    assert bench.files() == set()


async def test_a_full_disk_makes_the_cache_smaller_then_is_temporary(bench: Bench) -> None:
    await bench.read("a", "b")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    bench.origin.errors = [full]
    await bench.read("c")
    assert bench.files() == {"b", "c"}
    bench.origin.errors = [full, full, full]
    with pytest.raises(Temporary) as caught:
        await bench.read("d")
    assert str(bench.directory) in caught.value.message
    assert bench.files() == set()
    await bench.read("d")


async def test_a_directory_that_cannot_be_written_is_named(bench: Bench) -> None:
    bench.origin.errors = [OSError(errno.EACCES, os.strerror(errno.EACCES))]
    with pytest.raises(Misconfigured, match="Permission denied"):
        await bench.read("a")


async def test_a_restart_keeps_the_copies_and_their_order(bench: Bench) -> None:
    await bench.read("a", "b", "c")
    for age, name in enumerate("bca"):
        os.utime(bench.directory / f"{name}.parquet", (age, age))
    (bench.directory / "x.7.part").write_bytes(b"half")
    bench.cache = bench.opened()
    assert (bench.files(), bench.cache.bytes) == ({"a", "b", "c"}, 3 * SIZE)
    await bench.read("d")
    assert bench.files() == {"c", "a", "d"}
    await bench.read("a")
    assert bench.origin.fetched["a"] == 1


async def test_a_smaller_bound_after_a_restart(bench: Bench) -> None:
    await bench.read("a", "b", "c")
    bench.bytes_max = SIZE
    bench.cache = bench.opened()
    assert len(bench.files()) == 1


@pytest.mark.parametrize("damage", [b"", content(fragment("a"))[:-1], b"\0" * SIZE, content(fragment("a"))[:-4] + b"\0" * 4])
async def test_a_torn_copy_is_fetched_again(bench: Bench, damage: bytes) -> None:
    await bench.read("a", "b")
    (bench.directory / "a.parquet").write_bytes(damage)
    bench.cache = bench.opened()
    await bench.read("a", "b")
    assert bench.origin.fetched == {"a": 2, "b": 1}
    assert bench.cache.bytes == 2 * SIZE


async def test_a_copy_found_unreadable_is_fetched_again(bench: Bench) -> None:
    lease = await bench.cache.lease([fragment("a"), fragment("b")])
    other = await bench.cache.lease([fragment("a")])
    lease.release(True)
    assert bench.files() == {"a"}  # still read by the other
    other.release(False)
    assert bench.files() == set()
    await bench.read("a")
    assert bench.origin.fetched["a"] == 2


async def test_an_emptied_directory_is_filled_again(bench: Bench) -> None:
    await bench.read("a")
    (bench.directory / "a.parquet").unlink()
    bench.directory.rmdir()
    bench.origin.fetched.clear()
    (bench.directory).mkdir()
    await bench.read("a", "b")
    assert bench.origin.fetched == {"a": 1, "b": 1}


async def test_a_stored_fragment_is_taken_over_without_a_download(bench: Bench, tmp_path: Path) -> None:
    spooled = tmp_path / "spooled.parquet"
    for name in "abcd":
        spooled.write_bytes(content(fragment(name)))
        bench.cache.keep(fragment(name), spooled)
        assert not spooled.exists()
    assert bench.files() == {"b", "c", "d"}
    await bench.read("b", "d")
    assert bench.origin.fetched == {}


async def test_a_stored_fragment_without_room_stays_where_it_is(bench: Bench, tmp_path: Path) -> None:
    lease = await bench.cache.lease([fragment(name) for name in "abc"])
    spooled = tmp_path / "spooled.parquet"
    spooled.write_bytes(content(fragment("d")))
    bench.cache.keep(fragment("d"), spooled)
    assert spooled.exists()
    whole(lease, "a", "b", "c")


async def test_a_dropped_fragment_goes_once_nobody_reads_it(bench: Bench) -> None:
    lease = await bench.cache.lease([fragment("a")])
    bench.cache.drop("a")
    bench.cache.drop("unknown")
    whole(lease, "a")
    lease.release(False)
    assert (bench.files(), bench.cache.bytes) == (set(), 0)


async def test_close_abandons_downloads(bench: Bench) -> None:
    bench.origin.gate.clear()
    reader = asyncio.create_task(bench.read("a"))
    await turns()
    await bench.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert bench.files() == set()


class Readers:
    """Many at once, each leasing, holding and letting go at random; the invariants hold at every step."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.chance = bench, random.Random(seed)

    async def one(self) -> None:
        for _ in range(12):
            names = self.chance.sample("abcdefgh", self.chance.randrange(1, 4))
            try:
                lease = await asyncio.wait_for(self.bench.cache.lease([fragment(n) for n in names]), self.chance.choice((0.0005, 5)))
            except (TimeoutError, Temporary):
                continue
            await asyncio.sleep(self.chance.random() / 2000)
            whole(lease, *names)
            lease.release(self.chance.random() < 0.1)
            self.check()

    async def trouble(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0.0005)
            act: Any = self.chance.choice((self.fail, self.fill, self.bench.origin.gate.clear, self.bench.origin.gate.set))
            act()
            self.bench.cache.drop(self.chance.choice("abcdefgh"))
            self.check()
        self.bench.origin.gate.set()

    def fail(self) -> None:
        self.bench.origin.errors.append(Temporary("away"))

    def fill(self) -> None:
        self.bench.origin.errors.append(OSError(errno.ENOSPC, "full"))

    def check(self) -> None:
        cache = self.bench.cache
        assert 0 <= cache.pinned_bytes <= cache.bytes <= self.bench.bytes_max


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), copies=st.sampled_from((3, 3.5, 5, 8)))
def test_many_readers_in_trouble(tmp_path_factory: pytest.TempPathFactory, seed: int, copies: float) -> None:
    async def go() -> None:
        bench = Bench(tmp_path_factory.mktemp("c"), copies)
        readers = Readers(bench, seed)
        await asyncio.wait_for(asyncio.gather(readers.trouble(), *(readers.one() for _ in range(6))), 60)
        await turns()
        bench.origin.errors.clear()
        assert bench.cache.pinned_bytes == 0
        assert bench.cache.bytes == SIZE * len(bench.files())
        await bench.read("a", "b", "c")

    asyncio.run(go())
