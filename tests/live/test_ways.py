"""The two ways to probe a TLS library: both are there, the agent says which it took, and neither runs into what some kernels get wrong."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.live import kernel
from tests.live.conftest import WAYS, Watcher
from tests.up import SOURCE

from pulka._native import edge_examine
from pulka.edge.agent import programs

# add r9, gs:[...]: a stack for each CPU, instead of one for each run
STACK_PER_CPU = bytes.fromhex("654c030c25")
UPROBES = {"tls_enter", "tls_exit", "go_write", "go_read", "go_read_return", "rust_chunk", "rust_consume"}


def way(watcher: Watcher) -> str:
    return next(feature.way for feature in watcher.native.status().features if feature.name == "tls")


def examined() -> str:
    return next(feature.way for feature in edge_examine(programs()) if feature.name == "tls")


def test_perf_events_where_the_other_way_is_off(watch: Callable[..., Watcher]) -> None:
    assert way(watch(without=("uprobe_multi",))) == "by perf events; uprobe_multi: switched off by edge_without"


def test_what_is_examined_is_what_is_done(watch: Callable[..., Watcher]) -> None:
    assert examined() == way(watch()) != ""


def test_the_doctor_tells_the_way() -> None:
    command = [sys.executable, "-m", "pulka", "edge", "doctor", "--format", "json"]
    said = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True).stdout
    assert next(row for row in json.loads(said) if row["feature"] == "tls")["reason"] == examined()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64's machine code")
@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
def test_no_uprobe_has_a_stack_that_the_next_one_may_overwrite(without: tuple[str, ...], watch: Callable[..., Watcher]) -> None:
    """A uprobe may be preempted, which Linux since 6.13 does not think of: its stack per CPU is for programs that are not."""
    before = kernel.held("self")[0]
    watch(without=without)
    code = dict(kernel.machine_code(program) for program in kernel.held("self")[0] - before)
    assert code.keys() >= UPROBES
    assert [name for name in UPROBES if STACK_PER_CPU in code[name]] == []
