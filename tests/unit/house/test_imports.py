"""Invariants 1 and 2: imports go one way, the stages never import each other, and surfaces load the app only when they run."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "pulka"
STAGES = {"edge", "intake", "journal", "store", "query"}
GROUND = {"errors", "model", "seams", "clock", "telemetry", "_native"}
ALLOWED = {
    "errors": set(),
    "model": {"errors"},
    "_native": set(),
    "clock": set(),
    "telemetry": set(),
    "seams": {"model", "errors"},
    "config": {"errors"},
    "demo": set(),
    **dict.fromkeys(STAGES, GROUND),
    "monitors": GROUND | {"intake", "query"},
    "testing": GROUND | STAGES,
    "surfaces": GROUND | STAGES | {"config", "app", "monitors"},
    "app": GROUND | STAGES | {"config", "monitors", "surfaces"},
}


def room(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def nodes(tree: ast.AST, *, within_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        yield child
        if within_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from nodes(child, within_functions=within_functions)


def imported(path: Path, *, within_functions: bool = True) -> set[str]:
    """Rooms of Pulka that a file imports."""
    found = set()
    for node in nodes(ast.parse(path.read_text()), within_functions=within_functions):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "pulka":
            names = [f"pulka.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pulka.")}
    return found - {"__version__"}


FILES = sorted(path for path in SOURCE.rglob("*.py") if (path.name not in {"__main__.py"} and path.parent != SOURCE) or path.stem in ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    own = room(path)
    assert own in ALLOWED, f"{own} is no room of the house: name it here and in ARCHITECTURE.md"
    wrong = imported(path) - ALLOWED[own] - {own}
    assert not wrong, f"{path.relative_to(SOURCE)} must not import {sorted(wrong)}; stages meet at seams.py and are wired in app/"


def test_surfaces_import_the_app_only_when_they_run() -> None:
    for path in (SOURCE / "surfaces").rglob("*.py"):
        assert "app" not in imported(path, within_functions=False), f"{path.relative_to(SOURCE)} imports pulka.app as it is loaded; do so in the function that needs it"


def test_an_import_is_found_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("if True:\n    from pulka.app import x\nasync def f():\n    import pulka.query.y\n")
    assert imported(tmp_path / "one.py") == {"app", "query"}
    assert imported(tmp_path / "one.py", within_functions=False) == {"app"}


def test_the_command_line_reaches_implementations_through_app_only() -> None:
    cli = [path for path in FILES if "surfaces/cli" in str(path)]
    for path in cli:
        if path.name in {"edge.py", "edge_agent.py", "capture.py"}:  # the agent of a host is no part of the lake, which `pulka.app` wires (and would load)
            assert imported(path) & STAGES <= {"edge"}
            continue
        assert not imported(path) & STAGES, f"{path.name} imports a stage directly; go through pulka.app or the HTTP API"


def test_edge_knows_nothing_of_the_lake() -> None:
    for path in (SOURCE / "edge").rglob("*.py"):
        assert "datafusion" not in path.read_text()


def test_core_has_no_python() -> None:
    crates = Path(__file__).parents[3] / "crates"
    assert "pyo3" not in (crates / "pulka-core" / "Cargo.toml").read_text()


def test_commands_beside_a_lake_load_nothing_of_the_server() -> None:
    """It takes a second."""
    heavy = ("fastapi", "uvicorn", "grpc", "datafusion", "pulka.query", "pulka.intake", "pulka.surfaces.http")
    code = f"import sys, pulka.surfaces.cli.store, pulka.app.offline; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCE.parent)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
