"""The pictures of docs/edge.md, from a demo that runs: `python docs/pictures/record.py`, as root on Linux, takes a few minutes.

`edge-top.cast` is a recording of the terminal (asciicast 2) of `pulka edge top`, `edge-top.svg` its last screen, `map.svg` what `pulka map` tells.
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
WIDTH, HEIGHT = 140, 44
LISTEN, SHOP = "127.0.0.1:7790", "7820"
ENV = os.environ | {
    "PYTHONPATH": str(HERE.parents[1] / "src"), "COLUMNS": str(WIDTH), "LINES": str(HEIGHT), "TERM": "xterm", "PULKA_HTTP_LISTEN": LISTEN,
    "PULKA_OTLP_HTTP_LISTEN": "off", "PULKA_OTLP_GRPC_LISTEN": "off", "PULKA_EDGE_INTERVAL_S": "5",
}  # fmt: skip
DEMO = {
    "shoppers", "nginx", "storefront", "prices", "warehouse", "Reviews", "wallet", "redis-server", "postgres",
    "customers", "frontend", "catalog", "stock", "checkout", "payments", "client", "\u2500",
}  # fmt: skip
"""First words of lines; what else runs on the machine is left out of the map's picture."""
OBSERVER = {"pulka", "pulka-edge", LISTEN}
"""Whom the demo tells of itself: not part of what it does."""
PULKA = [sys.executable, "-m", "pulka"]


def screens(*words: str) -> list[tuple[float, str]]:
    """What a command writes to a terminal, with the seconds since it began."""
    own, other = pty.openpty()
    began, found = time.monotonic(), []
    with subprocess.Popen([*PULKA, *words], stdout=other, stderr=subprocess.DEVNULL, env=ENV) as process:
        os.close(other)
        while select.select([own], [], [], 60)[0]:
            try:
                data = os.read(own, 65536)
            except OSError:  # the other end is closed
                break
            found.append((time.monotonic() - began, data.decode(errors="replace")))
        process.wait(60)
    os.close(own)
    return found


def cast(said: list[tuple[float, str]]) -> str:
    head = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "pulka edge top"}
    return "\n".join([json.dumps(head), *(json.dumps([round(at, 2), "o", data]) for at, data in said), ""])


def picture(title: str, said: list[tuple[float, str]]) -> str:
    """The last screen."""
    last = "".join(data for _, data in said).rpartition("\x1b[2J")[2].replace("\x1b[1;1H", "").replace("\r\n", "\n").strip("\n")
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))
    console.print(Text.from_ansi(last))
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # of fonts that would be fetched
    return console.export_svg(title=title, code_format=template)


def of_the_demo(said: list[tuple[float, str]]) -> list[tuple[float, str]]:
    lines = "".join(data for _, data in said).splitlines(keepends=True)
    return [(0.0, "".join(line for line in lines if is_of_the_demo(Text.from_ansi(line.rstrip()).plain.split())))]


def is_of_the_demo(words: list[str]) -> bool:
    return bool(words) and (words[0] in DEMO or words[0][0] in DEMO) and OBSERVER.isdisjoint(words[:2])


def opened(log: Path) -> bool:
    return "The market is open" in log.read_text()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pulka-pictures-") as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL runs as another user
        log = Path(scratch) / "log"
        with log.open("wb") as out:
            demo = subprocess.Popen([*PULKA, "demo", "--listen", LISTEN, "--shop-port", SHOP], env=ENV | {"TMPDIR": scratch}, stderr=out, stdout=out, start_new_session=True)
        try:
            for _ in range(600):
                if opened(log) or demo.poll() is not None:
                    break
                time.sleep(0.5)
            time.sleep(40)
            top = screens("edge", "top", "--every", "4", "--count", "3")
            (HERE / "edge-top.cast").write_text(cast(top))
            (HERE / "edge-top.svg").write_text(picture("pulka edge top", top))
            (HERE / "map.svg").write_text(picture("pulka map --since 2m", of_the_demo(screens("map", "--since", "2m"))))
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGINT)
            demo.wait(60)
            sys.stderr.write(log.read_text()[-2000:])


if __name__ == "__main__":
    main()
