"""Processes for queries: forked from a template or started anew, each alone with its query, none left over, whoever of them is killed."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import children, has_ended
from tests.unit.query.bombs import BOMBS, processes_apart, templates
from tests.unit.query.conftest import ALWAYS, UNLIMITED
from tests.waiting import until, until_async

from pulka.errors import BadQuery, LimitExceeded, Temporary
from pulka.query.apart import Processes, forks, start

ENDLESS = BOMBS["recursion"]


@pytest.fixture
def processes():
    made = Processes()
    yield made
    made.close()


@pytest.fixture(params=["forked", "anew"])
def either(request):
    made = Processes(forks=request.param == "forked")
    yield made
    made.close()


def templates_of(processes):
    return {processes._template.pid} & templates()


async def begin(processes, tmp_path):
    return await processes.start(64 << 20, 1, str(tmp_path / "spill"))


async def columns(apart, sql="select 1 as one, 'x' as two"):
    """What answers without any lake."""
    return (await apart.ask("prepare", sql, {}, ALWAYS, 0)).schema.names


def sockets(pid):
    """What of the open files of a process are sockets."""
    found = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            found.append(os.readlink(file))
    return {one for one in found if one.startswith("socket:")}


def open_files(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_it_answers_until_it_is_ended(either, tmp_path):
    apart = await begin(either, tmp_path)
    assert await columns(apart) == ["one", "two"]
    with pytest.raises(BadQuery, match="no field `nope`"):
        await columns(apart, "select nope")
    assert await columns(apart) == ["one", "two"]
    [pid] = processes_apart()
    await apart.end()
    assert has_ended(pid)
    await apart.end()


async def test_one_that_ends_by_a_signal_had_no_memory_left(either, tmp_path):
    apart = await begin(either, tmp_path)
    await columns(apart)
    [pid] = processes_apart()
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(LimitExceeded, match="more memory"):
        while True:
            await columns(apart)
    await apart.end()


async def test_it_gives_way(either, tmp_path):
    apart = await either.start(64 << 20, 1, str(tmp_path), gives_way=True)
    await columns(apart)
    [pid] = processes_apart()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()} == {min(own + 15, 19)}
    assert all(os.getpriority(os.PRIO_PROCESS, one) == own for one in templates())
    await apart.end()


async def test_several_at_once_are_alone(either, tmp_path):
    """None has an end of another's socket: one that is killed is seen to end while the others live."""
    aparts = await asyncio.gather(*(begin(either, tmp_path) for _ in range(5)))
    assert await asyncio.gather(*map(columns, aparts)) == [["one", "two"]] * 5
    pids = sorted(processes_apart())
    own = [sockets(pid) for pid in pids]
    assert [len(one) for one in own] == [1] * 5
    assert len(set.union(*own)) == 5
    assert not set.union(*own) & sockets(os.getpid())
    os.kill(pids[2], signal.SIGKILL)
    await until_async(lambda: has_ended(pids[2]))
    told = await asyncio.gather(*map(columns, aparts), return_exceptions=True)
    assert [type(one) for one in told].count(LimitExceeded) == 1
    assert told.count(["one", "two"]) == 4
    await asyncio.gather(*(apart.end() for apart in aparts))
    assert processes_apart() == set()


async def test_the_template_has_one_thread_and_nothing_open(processes, tmp_path):
    await (await begin(processes, tmp_path)).end()
    [pid] = templates_of(processes)
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    assert len(sockets(pid)) == 1
    assert open_files(pid) == 4  # standard input, output and error, and what it waits with


@pytest.mark.parametrize("library", ["numpy", "pandas"])
async def test_a_library_that_starts_threads_is_not_imported(processes, tmp_path, monkeypatch, library):
    (tmp_path / f"{library}.py").write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    apart = await begin(processes, tmp_path)
    assert await columns(apart) == ["one", "two"] and processes.forks
    await apart.end()


async def test_fifty_queries_leave_no_file_open(processes, tmp_path):
    await (await begin(processes, tmp_path)).end()
    [pid] = templates_of(processes)
    await asyncio.sleep(0)
    before = open_files(os.getpid()), open_files(pid)
    for round_ in range(10):
        aparts = await asyncio.gather(*(begin(processes, tmp_path) for _ in range(5)))
        if round_ == 5:
            await columns(aparts[0])
        await asyncio.gather(*(apart.end() for apart in aparts))
    # Fewer: what an earlier test left to be collected may be gone.
    await until_async(lambda: all(now <= then for now, then in zip((open_files(os.getpid()), open_files(pid)), before, strict=True)))
    assert templates_of(processes) == {pid}
    assert children(pid) == set()


def test_it_serves_one_event_loop_after_the_other(processes, tmp_path):
    async def ask():
        apart = await begin(processes, tmp_path)
        try:
            return await columns(apart), templates_of(processes)
        finally:
            await apart.end()

    assert asyncio.run(ask()) == asyncio.run(ask())


def test_a_loop_that_ends_in_the_midst_leaves_none(processes, tmp_path):
    async def ask():
        await columns(await begin(processes, tmp_path))
        return processes_apart()

    pids = asyncio.run(ask())
    assert pids
    until(lambda: all(map(has_ended, pids)))


async def test_who_is_cancelled_while_one_starts_leaves_none(processes, tmp_path):
    starting = asyncio.ensure_future(begin(processes, tmp_path))
    await until_async(lambda: processes._template is not None)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    apart = await begin(processes, tmp_path)  # the template has done what it was asked before
    await columns(apart)
    await apart.end()
    await until_async(lambda: children(processes._template.pid) == set())


async def test_a_template_that_was_killed_is_replaced(processes, tmp_path):
    first = await begin(processes, tmp_path)
    await columns(first)
    [pid] = templates_of(processes)
    own = children(pid)
    os.kill(pid, signal.SIGKILL)
    await until_async(lambda: all(map(has_ended, own)))
    with pytest.raises(Temporary, match="ended from outside"):
        await columns(first)
    await first.end()
    second = await begin(processes, tmp_path)
    assert await columns(second) == ["one", "two"]
    assert templates_of(processes) not in (set(), {pid})
    await second.end()


async def test_several_replace_it_once(processes, tmp_path):
    await (await begin(processes, tmp_path)).end()
    os.kill(processes._template.pid, signal.SIGKILL)
    aparts = await asyncio.gather(*(begin(processes, tmp_path) for _ in range(4)))
    assert await asyncio.gather(*map(columns, aparts)) == [["one", "two"]] * 4
    assert len(children(processes._template.pid)) == 4
    await asyncio.gather(*(apart.end() for apart in aparts))


async def test_a_template_without_work_ends_and_is_started_again(processes, tmp_path, monkeypatch):
    hasty = ("import main\n", "import template\ntemplate._IDLE_S = 0.1\nfrom pulka.query.apart.template import main\n")
    code = start.command("template")[-1].replace("from pulka.query.apart.template " + hasty[0], "from pulka.query.apart " + hasty[1])
    monkeypatch.setattr(forks, "command", lambda module: [sys.executable, "-P", "-c", code])
    apart = await begin(processes, tmp_path)
    [pid] = templates_of(processes)
    await asyncio.sleep(0.3)
    assert await columns(apart) == ["one", "two"]
    assert not has_ended(pid)
    await apart.end()
    await until_async(lambda: has_ended(pid))
    again = await begin(processes, tmp_path)
    assert await columns(again) == ["one", "two"]
    await again.end()


async def test_where_no_template_works_each_is_started_anew(processes, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(forks, "command", lambda module: [sys.executable, "-c", "raise SystemExit(1)"])
    with caplog.at_level(logging.WARNING, "pulka"):
        for _ in range(2):
            apart = await begin(processes, tmp_path)
            assert await columns(apart) == ["one", "two"]
            assert processes._template is None
            await apart.end()
    assert len(caplog.records) == 1


async def test_templates_that_failed_are_tried_again_after_a_while(processes, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(forks, "command", lambda module: [sys.executable, "-c", "raise SystemExit(1)"])
        await (await begin(processes, tmp_path)).end()
    assert not processes.forks
    loop = asyncio.get_running_loop()
    now_s = loop.time
    monkeypatch.setattr(loop, "time", lambda: now_s() + 601)
    apart = await begin(processes, tmp_path)
    assert processes.forks and templates_of(processes)
    await apart.end()


async def test_what_closes_leaves_none(tmp_path):
    closed, dropped = Processes(), Processes()
    aparts = [await begin(one, tmp_path) for one in (closed, dropped)]
    pids = [*children(closed._template.pid), *children(dropped._template.pid), closed._template.pid, dropped._template.pid]
    assert len(pids) == 4
    closed.close()
    closed.close()
    del dropped
    gc.collect()
    await until_async(lambda: all(map(has_ended, pids)))
    for apart in aparts:
        await apart.end()


PROGRAM = """
import asyncio, sys
from pulka.query.apart import Processes
from tests.processes import children
processes = Processes()
async def main():
    apart = await processes.start(64 << 20, 1, sys.argv[1])
    template = processes._template.pid
    print(template, *children(template), flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_program_that_closes_nothing_leaves_none(tmp_path, killed):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as program:
        pids = [int(word) for word in program.stdout.readline().split()]
        assert len(pids) == 2
        if killed:
            program.kill()
    until(lambda: all(map(has_ended, pids)))


async def test_cancellation_ends_the_right_one(make_lake, processes, tmp_path):
    lake = make_lake(processes=processes)
    await asyncio.to_thread(lake.store, [{"timestamp": at, "n": at} for at in range(100)])

    async def ask(sql):
        result = await lake.engine.run(sql, "acme", ALWAYS, UNLIMITED)
        return [batch async for batch in result.batches]

    asked = [asyncio.ensure_future(ask(ENDLESS)) for _ in range(2)]
    await until_async(lambda: len(processes_apart()) == 2)
    asked[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked[0]
    await until_async(lambda: len(processes_apart()) == 1)
    [batch] = await ask("select lpad('x', 3) as padded")
    assert batch.to_pydict() == {"padded": ["  x"]}
    assert not asked[1].done()
    asked[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked[1]
    await until_async(lambda: not processes_apart())
