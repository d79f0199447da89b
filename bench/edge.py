"""What the agent of a host costs: every figure is the difference of interleaved rounds with and without it, in one run.

`python bench/edge.py [--rounds N]`, as root on Linux. CPU time, not wall time, and median differences: single rounds on a shared machine mean little.
"""

import argparse
import contextlib
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from server import cpu_s, rss_bytes
from table import markdown

HERE = Path(__file__).parent
ROOT = HERE.parent
WAYS = {"multi": "", "perf": "uprobe_multi"}  # and what is left off for it
ENV = os.environ | {"PYTHONPATH": str(ROOT / "src")}
AGENT = """
import json, os, sys
os.sched_setaffinity(0, {1 % os.cpu_count()})
from pulka.edge.agent import EdgeSettings, attach
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("attach"):
        native = attach(EdgeSettings(
            burst_bytes=65536, head_bytes=512, ring_bytes=4 << 20, connections_max=10_000, keys_max=10_000, held_bytes_max=64 << 20,
            idle_s=300, poll_ms=50, cpu_share=1.0, without=tuple(line.split()[1:])))
    elif line.startswith("detach"):
        native.stop()
    elif line.startswith("seen"):
        rows = [row for row in native.report(dict) if row.protocol == "http1" and row.target == "/orders/*"]
        print(json.dumps([sum(r.count for r in rows if r.is_client), sum(r.count for r in rows if not r.is_client), native.status().drops]), flush=True)
        continue
    print("done", flush=True)
"""


class Agent:
    """An agent in a process of its own, on the other core, that attaches and detaches when told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.read()

    @contextlib.contextmanager
    def attached(self, without: str = "") -> Iterator[None]:
        self.tell(f"attach {without}")
        try:
            yield
        finally:
            self.tell("detach")


@contextlib.contextmanager
def running(*command: object, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that ends with the block, whatever happens in it."""
    process = subprocess.Popen([str(word) for word in command], env=ENV, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def number(*command: object) -> float:
    return float(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, env=ENV).stdout.split()[0])


def steady(*command: object) -> float:
    """The median of three runs: one may meet something else that the machine does."""
    return statistics.median(number(*command) for _ in range(3))


def interleaved(agent: Agent, measure: Callable[[], float], rounds: int, without: str = "") -> tuple[float, float, float]:
    """(median without, median with, median of the differences), ns."""
    off, on = [], []
    for _ in range(rounds):
        off.append(measure())
        with agent.attached(without):
            on.append(measure())
    return statistics.median(off), statistics.median(on), statistics.median([b - a for a, b in zip(off, on, strict=True)])


def by_either_way(agent: Agent, measure: Callable[[], float], rounds: int) -> dict[str, float]:
    """Median of what is added by probes of each way, ns; each round measures without any, and with both ways."""
    added: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        off = measure()
        for way, without in WAYS.items():
            with agent.attached(without):
                added[way].append(measure() - off)
    return {way: statistics.median(times) for way, times in added.items()}


def attach_and_detach(libraries: list[Path], rounds: int) -> dict[str, tuple[float, float]]:
    """(median to attach, median to detach) the probes of libraries, ms, by each way."""
    build = ["cargo", "build", "--release", "--locked", "-q", "-p", "pulka-probe", "--example", "probes", "--message-format", "json-render-diagnostics"]
    messages = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    program = next(path for line in messages if (path := json.loads(line).get("executable")))
    said = subprocess.run([program, ROOT / "src/pulka/edge/bpf/edge.bpf.o", str(rounds), *libraries], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in said.splitlines()]
    times = {way: [(float(attach), float(detach)) for name, attach, detach in lines if name == way] for way in WAYS}
    return {way: (statistics.median(a for a, _ in pairs), statistics.median(d for _, d in pairs)) for way, pairs in times.items()}


def copies_of_openssl(directory: Path, count: int) -> list[Path]:
    """The library that Python's ssl has loaded, as so many files."""
    library = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libssl" in line)
    return [Path(shutil.copy(library, directory / f"libssl-{number}.so")) for number in range(count)]


def ways_of_tls(agent: Agent, measure: Callable[[], float], rounds: int, libraries: list[Path]) -> list[list[object]]:
    """Rows: what, by uprobe_multi, by perf events, the ratio."""
    rows: list[list[object]] = []

    def row(what: str, unit: str, by: dict[str, float]) -> None:
        rows.append([what, *(f"{by[way]:,.0f} {unit}" for way in WAYS), f"{by['multi'] / by['perf']:.2f}"])
        print(rows[-1], file=sys.stderr, flush=True)

    for some in (libraries[:1], libraries):
        times = attach_and_detach(some, rounds)
        row(f"attach the probes of {len(some)} files of {ssl.OPENSSL_VERSION}", "ms", {way: attach for way, (attach, _) in times.items()})
        row("detach them", "ms", {way: detach for way, (_, detach) in times.items()})
    row("SSL_write and SSL_read of 200 bytes, added", "ns", by_either_way(agent, measure, rounds))
    return rows


def agent_at_rate(program: Path, rate: int, seconds: float) -> tuple[float, float, float]:
    """(CPU of `pulka edge run` as a share of one core, resident MB, requests a second) under a fixed rate."""
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "pulka", "edge", "run", "--to", "http://127.0.0.1:9", "--state-dir", state]
        with running(*command, stderr=subprocess.DEVNULL) as process:
            time.sleep(4)
            with running(program, "paced", rate, seconds + 4, stdout=subprocess.PIPE, text=True) as load:
                time.sleep(2)
                before, began = cpu_s(process.pid), time.monotonic()
                time.sleep(seconds)
                share = (cpu_s(process.pid) - before) / (time.monotonic() - began)
                resident = rss_bytes(process.pid)
                made, elapsed = map(float, load.communicate()[0].split())
    return share, resident / (1 << 20), made / elapsed


def seen_of_made(agent: Agent, program: Path, rate: int, seconds: float) -> tuple[int, int, int, dict[str, int]]:
    """(made, seen by the client's end, seen by the server's, dropped) at a fixed rate."""
    with agent.attached():
        said = subprocess.run([program, "paced", str(rate), str(seconds)], check=True, capture_output=True, text=True).stdout
        time.sleep(1)
        client, server, drops = json.loads(agent.tell("seen"))
    return int(said.split()[0]), client, server, drops


def certificate(directory: Path) -> tuple[Path, Path]:
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)  # fmt: skip
    return cert, key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = directory / "edge_load"
        subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O2", "-o", program, HERE / "edge_load.c"], check=True)
        cert, key = certificate(directory)
        agent = Agent(stack.enter_context(running(sys.executable, "-c", AGENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)))
        # Libraries are probed once a process with a socket has loaded them.
        stack.enter_context(running(sys.executable, "-c", "import socket, ssl, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(1e6)"))
        rows: list[list[object]] = []

        def pairs_of_tls() -> float:
            return number(sys.executable, HERE / "edge_tls.py", cert, key, 30_000)

        def row(what: str, measure: Callable[[], float], goal: str, without: str = "") -> None:
            off, on, added = interleaved(agent, measure, given.rounds, without)
            rows.append([what, f"{off:,.0f} ns", f"{on:,.0f} ns", f"{added:+,.0f} ns", goal])
            print(rows[-1], file=sys.stderr, flush=True)

        row("HTTP/1 request and response on loopback, both ends", lambda: steady(program, "pingpong", 20_000), "≤ 2,000 ns")
        row("the same, without the features owner and tls", lambda: steady(program, "pingpong", 20_000), "", "owner tls")
        row("an unrelated system call", lambda: number(program, "syscalls", 2_000_000), "0")
        row("SSL_write and SSL_read of 200 bytes", pairs_of_tls, "≤ 4,000 ns")
        print(markdown("What the agent adds", ["what", "without", "with", "difference", "goal"], rows))
        ways = ways_of_tls(agent, pairs_of_tls, given.rounds, copies_of_openssl(directory, 8))
        print(markdown("TLS by either way", ["what", "by uprobe_multi", "by perf events", "ratio"], ways))
        made, client, server, drops = seen_of_made(agent, program, given.rate, given.seconds / 2)
        share, resident, rate = agent_at_rate(program, given.rate, given.seconds)
        rows = [
            ["transactions seen / made, client's end", f"{client:,} / {made:,}", "100 %"],
            ["transactions seen / made, server's end", f"{server:,} / {made:,}", "100 %"],
            ["dropped", ", ".join(f"{name} {count}" for name, count in drops.items() if count) or "nothing", "nothing"],
            [f"CPU of `pulka edge run` at {rate:,.0f} req/s", f"{share * 1000:.0f} mCPU", "≤ 100 mCPU"],
            ["its resident memory", f"{resident:.0f} MB", "≤ 80 MB"],
        ]
        print(markdown(f"The agent at {given.rate:,} requests a second", ["what", "measured", "goal"], rows))


if __name__ == "__main__":
    main()
