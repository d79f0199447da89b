"""The wheel holds everything, and a clean environment serves from it."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.up import Up

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1500)
def test_the_wheel_serves(tmp_path: Path, start: Callable[..., Up], monkeypatch: pytest.MonkeyPatch) -> None:
    uv = shutil.which("uv") or str(Path.home() / ".cache" / "pulka" / "uv" / "bin" / "uv")
    maturin = Path(sys.executable).parent / "maturin"
    subprocess.run([str(maturin), "build", "-q", "--release", "--locked", "--out", str(tmp_path)], cwd=ROOT, check=True)
    wheel = next(tmp_path.glob("pulka-*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src" / "pulka").rglob("*.py")}
    assert sources <= names, sorted(sources - names)
    assert {"pulka/py.typed", "pulka/_native.pyi"} <= names
    assert any(name.startswith("pulka/_native") and name.endswith(".so") for name in names)

    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "clean")], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-c", str(ROOT / "requirements.lock"), str(wheel)], check=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(python.parent / "pulka"), "version"], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr("tests.up.SOURCE", tmp_path)
    up = start()
    up.ingest("logs", b'{"message":"from the wheel"}')
    assert up.query("SELECT message FROM logs") == [{"message": "from the wheel"}]
