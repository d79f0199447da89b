"""The core's allocator in threads that come and go."""

import subprocess
import sys

LOADED_BY_A_THREAD_THAT_ENDS = """
import threading

def together(*work):
    threads = [threading.Thread(target=one) for one in work]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

def decode():
    from pulka import _native
    for _ in range(20):
        _native.decode_json(b'{"message":"hello","n":1}\\n' * 1000, 0, _native.DecodeOptions())

for _ in range(10):
    together(lambda: (together(*[decode] * 4), decode()))
"""


def test_the_thread_that_loaded_the_core_may_end() -> None:
    """mimalloc 3 crashed here, every time."""
    subprocess.run([sys.executable, "-c", LOADED_BY_A_THREAD_THAT_ENDS], check=True, timeout=120)
