"""One process of the shop: `python -m pulka.demo.shop SERVICE BASE_PORT OTLP_ENDPOINT`, or `customers` for the load."""

import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

__all__ = ["main"]


def main() -> None:
    """Run one service, or the customers, until the parent goes away."""
    name, base_port, endpoint = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if name == "customers":
        customers(base_port)
    else:
        service(name, base_port, endpoint)


def service(name: str, base_port: int, endpoint: str) -> None:
    """Serve one of the shop's services."""
    from pulka.demo import services, telemetry

    version = "2.4.0-rc1" if name == "payments-canary" else "2.3.1"
    public = "payments" if name == "payments-canary" else name
    services.serve(services.Shop(name, base_port, telemetry.start(public, version, endpoint, f"{name}-1")))


def customers(base_port: int) -> None:
    """About eight requests a second, a third of them orders."""
    while True:
        path = random.choice(["/", "/", "/checkout"])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{base_port}{path}", timeout=10).read()
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        time.sleep(random.expovariate(8))


def _end_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main()
