"""Invariants 1 and 2: imports go one way, and the stages never import each other."""

import ast
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


def imported(path: Path) -> set[str]:
    """Rooms of Pulka that a file imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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
