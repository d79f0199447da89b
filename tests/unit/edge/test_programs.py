"""The BPF object that is shipped is the one that `bpf/` compiles to."""

import importlib.util
from pathlib import Path

import pytest

from pulka.edge.agent import programs

ROOT = Path(__file__).parents[3]


def test_the_object_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    spec = importlib.util.spec_from_file_location("bpf_build", ROOT / "bpf" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    build.compile_to(tmp_path / "edge.bpf.o")
    assert (tmp_path / "edge.bpf.o").read_bytes() == programs(), "bpf/ changed: run `make bpf` and commit the object"


def test_nothing_of_a_machine_is_in_it() -> None:
    for word in (b"/tmp", b"/home", b"/root", b".venv"):
        assert word not in programs()


def test_every_source_says_its_licence() -> None:
    for path in (ROOT / "bpf").glob("*.[ch]"):
        assert path.read_text().startswith("/* SPDX-License-Identifier: GPL-2.0 */"), path.name
