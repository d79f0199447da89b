"""Ten requests a second, one after the other: `python shoppers PORT`."""

import http.client
import random
import sys
import time

PATHS = ["/"] * 6 + ["/basket"] * 3 + ["/order"] * 2 + ["/favicon.ico"]


def shop(port: int) -> None:
    """Until the storefront goes away; then once more from the start."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        while True:
            connection.request("GET", random.choice(PATHS))
            connection.getresponse().read()
            time.sleep(random.expovariate(10))
    except (OSError, http.client.HTTPException):
        time.sleep(0.5)
    finally:
        connection.close()


if __name__ == "__main__":
    while True:
        shop(int(sys.argv[1]))
