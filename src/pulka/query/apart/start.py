"""How a Python of our own is started: the same interpreter and the same Pulka, however they were found; nothing from the working directory."""

import sys
from pathlib import Path

__all__ = ["command"]

_ROOT = str(Path(__file__).parents[3])
_CODE = f"""
import os, sys

class WithoutFrames:  # pyarrow imports these wherever they are installed, which takes longer than all else, and NumPy starts threads
    def find_spec(name, *_):
        if name in ("numpy", "pandas"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutFrames)
sys.path.insert(0, {_ROOT!r})
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's only thread at import, of an allocator it does not use
from pulka.query.apart.%s import main
main()
"""


def command(module: str) -> list[str]:
    """Runs `main` of a module beside this one."""
    return [sys.executable, "-P", "-c", _CODE % module]
