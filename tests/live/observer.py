"""An agent in a process of its own, so that the test's own sockets are seen too: `python observer.py PORT`.

Each line on stdin is answered by one JSON line: what was counted of the port so far, and what was left out.
"""

import json
import sys
from collections import Counter

from tests.live.conftest import Watcher


def main() -> None:
    port, watcher = int(sys.argv[1]), Watcher()
    print("attached", flush=True)
    for _ in sys.stdin:
        counts: Counter[tuple[bool, bool, str, str, str, str, str]] = Counter()
        for row in watcher.collect():
            if row.port == port:
                counts[row.is_client, row.tls, row.protocol, row.operation, row.target, row.status, row.error or ""] += row.count + row.one_way
        rows = [[*key, count] for key, count in counts.items()]
        status = watcher.native.status()
        unreadable: Counter[str] = Counter()
        for _pid, reason, count in watcher.native.opaque():
            unreadable[reason] += count
        said = {"rows": rows, "drops": status.drops, "counters": status.counters, "libraries": watcher.native.libraries(), "unreadable": unreadable}
        print(json.dumps(said), flush=True)
    watcher.native.stop()


if __name__ == "__main__":
    main()
