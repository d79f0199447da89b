"""Inputs: seeded log lines of about 400 bytes, and the real sets in `../shared/data` when they are there."""

import random
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
CACHE = Path.home() / ".cache" / "pulka" / "bench"

_VERBS = ["GET", "POST", "PUT", "DELETE"]
_MESSAGES = [
    "request finished", "connection reset by peer", "cache miss for key user:{}", "retrying upstream, attempt {}",
    "user {} signed in from new device", "slow query took {} ms on replica", "payment {} authorised", "token expired for session {}",
    "upstream timed out after {} ms", "wrote {} rows to warehouse", "background job {} finished", "queue depth is {}",
]  # fmt: skip


def logs(rows: int, seed: int = 7) -> Path:
    """NDJSON of `rows` log lines, average about 400 bytes, spread over 50 minutes; made once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"logs-{rows}-{seed}.ndjson"
    if not path.exists():
        _write(path.with_suffix(".part"), rows, random.Random(seed))
        path.with_suffix(".part").rename(path)
    return path


def _write(path: Path, rows: int, rng: random.Random) -> None:
    services = [f"{kind}-{part}" for kind in ("web", "api", "worker", "db", "auth") for part in range(13)]
    hosts = [f"ip-10-0-{n // 50}-{n % 50}.internal" for n in range(200)]
    start = 1_767_225_600_000_000
    with path.open("w") as out:
        for n in range(rows):
            micros = start + n * 3_000_000_000 // rows + rng.randrange(1000)
            seconds, rest = divmod(micros, 1_000_000)
            minute, second = divmod(seconds - 1_767_225_600, 60)
            service = rng.choice(services)
            status = rng.choices([200, 201, 301, 404, 500, 503], [80, 8, 3, 5, 2, 2])[0]
            severity = "ERROR" if status >= 500 else "WARN" if status == 404 else "INFO"
            message = rng.choice(_MESSAGES).format(rng.randrange(100_000))
            path_ = f"/api/v1/{rng.choice(['orders', 'users', 'carts', 'items'])}/{rng.randrange(50_000)}"
            out.write(
                f'{{"timestamp":"2026-01-01T00:{minute:02d}:{second:02d}.{rest:06d}Z","service":"{service}","env":"prod",'
                f'"severity":"{severity}","host":"{rng.choice(hosts)}","trace_id":"{rng.getrandbits(128):032x}",'
                f'"http":{{"method":"{rng.choice(_VERBS)}","status_code":{status},"path":"{path_}"}},'
                f'"duration_ms":{rng.expovariate(0.02):.3f},"user":{{"id":{rng.randrange(1_000_000)}}},'
                f'"message":"{message} while serving {path_} for tenant-{rng.randrange(500)} in region eu-central-{rng.randrange(3)}"}}\n'
            )


def security_events() -> Path | None:
    """The real security events as NDJSON, or None with a line that says so."""
    packed = SHARED / "security-events" / "security-events.ndjson.zst"
    if not packed.exists():
        print(f"{packed} is absent: the security-events row is left out")
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "security-events.ndjson"
    if not path.exists():
        if shutil.which("zstd"):
            subprocess.run(["zstd", "-qdf", str(packed), "-o", str(path)], check=True)
        else:
            import pyarrow as pa

            with pa.CompressedInputStream(str(packed), "zstd") as source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
    return path


def nezha() -> Path | None:
    """The folder of Nezha's recorded day, unpacked, or None with a line that says so."""
    packed = SHARED / "nezha" / "nezha-trainticket-2023-01-29.tar.zst"
    folder = CACHE / "nezha"
    if not packed.exists() or not shutil.which("zstd"):
        print(f"{packed} or the zstd command is absent: the Nezha rows are left out")
        return None
    if not (folder / "rca_data").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(f"zstd -dc {packed} | tar x -C {folder}", shell=True, check=True)
    return folder / "rca_data" / "2023-01-29"


def bodies(path: Path, size: int = 2 << 20) -> list[bytes]:
    """The file as request bodies of about `size` bytes that end at line ends."""
    data = path.read_bytes()
    cut, pieces = 0, []
    while cut < len(data):
        end = len(data) if cut + size >= len(data) else data.rfind(b"\n", cut, cut + size) + 1
        pieces.append(data[cut:end])
        cut = end
    return pieces
