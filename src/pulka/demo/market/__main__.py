"""`python -m pulka.demo.market PORT`: everything from PORT on, until standard input ends. Says on stderr what runs and what does not."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pulka.demo.market.parts import PARTS, Missing, Place

_READY_S = 30.0
_END_S = 5.0
_SOURCES = Path(__file__).parent


class Market:
    """What runs, by name."""

    def __init__(self, root: Path, first_port: int) -> None:
        self._root = root
        self._ports = {name: first_port + number for number, name in enumerate(PARTS)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.missing: dict[str, str] = {}
        self._is_closing = False

    def open(self) -> None:
        """Peers at once, since some have to be compiled; then the storefront and what stands before it."""
        names = list(PARTS)
        before = names[: names.index("storefront")]
        with ThreadPoolExecutor(len(before)) as pool:
            list(pool.map(self._start, before))
        for name in names[len(before) :]:
            self._start(name)

    def _start(self, name: str) -> None:
        if self._is_closing:
            return
        home = self._root / name
        shutil.copytree(_SOURCES / name, home) if (_SOURCES / name).is_dir() else home.mkdir()
        ports = {other: port for other, port in self._ports.items() if other == name or other in self.running or other == "storefront"}
        try:
            process = PARTS[name][1](Place(home, self._ports[name], ports, self._root))
            self.running[name] = process
            if name != "shoppers":
                _await_port(self._ports[name], process)
        except (Missing, OSError) as error:
            self.missing[name] = str(error)
            _end(self.running.pop(name, None))

    def close(self) -> None:
        """End all, what came last first; also what is being compiled."""
        self._is_closing = True
        if os.getpgid(0) == os.getpid():  # a group of its own, as the demo starts it
            os.killpg(0, signal.SIGTERM)
        for process in reversed(list(self.running.values())):
            _end(process)


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    ends_s = time.monotonic() + _READY_S
    while time.monotonic() < ends_s:
        if process.poll() is not None:
            raise Missing(f"it ended with exit code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise Missing(f"it did not listen within {_READY_S:.0f} s")


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None:
        return
    process.send_signal(signal.SIGINT if "postgres" in str(process.args) else signal.SIGTERM)  # PostgreSQL waits for its clients otherwise
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _open(market: Market) -> None:
    market.open()
    kinds = ", ".join(f"{name} ({PARTS[name][0]})" for name in market.running)
    print(f"The market is open, without instrumentation: {kinds}", file=sys.stderr)
    for name, why in market.missing.items():
        print(f"note: the market is without {name}: {why}", file=sys.stderr)


def main() -> None:
    """Run the market until the input ends, which it does when whoever started it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # the end of input is what ends it; to be ignored would be inherited
    for name in [name for name in os.environ if name.startswith(("OTEL_", "DD_"))]:
        del os.environ[name]  # whoever set them meant the demo, not these
    root = Path(tempfile.mkdtemp(prefix="pulka-demo-market-"))
    root.chmod(0o755)  # PostgreSQL runs as another user
    market = Market(root, int(sys.argv[1]))
    try:
        opening = threading.Thread(target=_open, args=(market,), daemon=True)
        opening.start()
        while os.read(sys.stdin.fileno(), 4096):
            pass
    finally:
        market.close()
        opening.join(_END_S)
        market.close()  # what it started in between
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
