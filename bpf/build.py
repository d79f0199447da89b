"""Compile the BPF programs: `python bpf/build.py OUTPUT`. Needs only PyPI's `ziglang`, and gives the same bytes on every machine."""

import subprocess
import sys
from pathlib import Path

import ziglang

HERE = Path(__file__).resolve().parent
INCLUDES = Path(ziglang.__file__).parent / "lib" / "libc" / "include"


def compile_to(output: Path) -> None:
    """Write the object; paths of this machine are mapped away, so that it can be compared byte for byte."""
    headers = [f"-isystem{INCLUDES / name}" for name in ("any-linux-any", "x86-linux-any")]
    paths = [f"-ffile-prefix-map={HERE}=bpf", f"-ffile-prefix-map={INCLUDES}=include"]
    flags = ["--target=bpfel-freestanding", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, *headers, *paths, "-c", "edge.bpf.c", "-o", str(output.resolve())]
    subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    compile_to(Path(sys.argv[1]))
