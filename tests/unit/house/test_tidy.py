"""The repository looks after itself: no clock or entropy outside the clock, package words, public names, file sizes."""

import ast
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import pulka
from pulka import _native

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "pulka"
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name not in {"__init__.py", "__main__.py"})


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE.parent)))
def test_package_says_in_out_guarantees_never(package: Path) -> None:
    words = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    for word in ("In: ", "Out: ", "Guarantees: ", "Never: "):
        assert word in words, f"{package.name}/__init__.py opens with four sentences; `{word.strip()}` is missing"


def test_nothing_but_the_clock_reads_time_or_entropy() -> None:
    banned = re.compile(r"\b(time\.(time|time_ns|monotonic|perf_counter|sleep)|asyncio\.sleep|datetime\.now|uuid4|os\.urandom)\(")
    for path in SOURCE.rglob("*.py"):
        if path.name == "clock.py" or "demo" in path.parts:
            continue
        found = banned.search(path.read_text())
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}) - use pulka.seams.Clock"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_names_are_declared_and_exist(path: Path) -> None:
    if "demo" in path.parts and path.stem != "shop":
        pytest.importorskip("opentelemetry.sdk")
    name = "pulka." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    module = importlib.import_module(name)
    assert hasattr(module, "__all__"), f"{name} declares no __all__"
    for public in module.__all__:
        assert hasattr(module, public), f"{name}.__all__ names `{public}`, which does not exist"


def test_no_dumping_grounds() -> None:
    for path in tracked():
        assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}, path


def test_no_large_files() -> None:
    for path in tracked():
        if path.exists() and path.suffix != ".lock":
            assert path.stat().st_size < 1_000_000, f"{path.relative_to(ROOT)} is over 1 MB"


def test_every_error_kind_is_in_the_vocabulary() -> None:
    from pulka import errors

    kinds = {c.kind for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PulkaError)}
    assert kinds == set(errors.KINDS)


def test_native_stub_and_module_agree() -> None:
    from pulka import _native

    stub = ast.parse((SOURCE / "_native.pyi").read_text())
    declared = {n.name for n in stub.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {"__version__"}
    real = {name for name in dir(_native) if not name.startswith("__")} | {"__version__"}
    assert declared == real


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {pulka.__version__, _native.__version__} == {project}
