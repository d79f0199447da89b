"""The services: `frontend` calls `catalog` and `checkout`; `checkout` calls `payments` and `stock`.

Payments runs two versions; one of them meets a card gateway that times out for 20 of every 60 seconds.
"""

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from pulka.demo.telemetry import Telemetry, propagate

__all__ = ["PORTS", "serve"]

PORTS = {"frontend": 0, "catalog": 1, "checkout": 2, "payments": 3, "payments-canary": 4, "stock": 5}
_FAULT_EVERY_S, _FAULT_S = 60, 20
_PRODUCTS = ["kettle", "lamp", "chair", "globe", "notebook", "umbrella"]


class Failed(Exception):
    """A request that ends with an HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Shop:
    """One service: its telemetry, its peers, and what it does for each route."""

    def __init__(self, service: str, base_port: int, telemetry: Telemetry) -> None:
        self.service = service
        self.base_port = base_port
        self.telemetry = telemetry
        self.routes: dict[str, Callable[[], object]] = {
            "/": self.home, "/products": self.products, "/checkout": self.checkout, "/charge": self.charge, "/reserve": self.reserve,
        }  # fmt: skip

    def home(self) -> object:
        return self.call("catalog", "/products")

    def products(self) -> object:
        self.work("SELECT products", 0.004)
        return _PRODUCTS

    def checkout(self) -> object:
        if self.service == "frontend":
            return self.call("checkout", "/checkout")
        self.call("stock", "/reserve")
        return self.call(random.choice(["payments", "payments", "payments-canary"]), "/charge")

    def reserve(self) -> object:
        self.work("UPDATE stock", 0.006)
        if random.random() < 0.02:
            self.telemetry.log("WARN", "stock is low", product=random.choice(_PRODUCTS), left=random.randint(1, 5))
        return "reserved"

    def charge(self) -> object:
        amount = round(random.uniform(5, 250), 2)
        if self.service == "payments-canary" and time.time() % _FAULT_EVERY_S < _FAULT_S:
            self.work("POST card-gateway", 0.4)
            self.telemetry.log("ERROR", f"card gateway timed out after 400 ms, order of {amount} EUR not charged", amount=amount)
            raise Failed(502, "card gateway timed out")
        self.work("POST card-gateway", 0.012)
        self.telemetry.log("INFO", f"charged {amount} EUR", amount=amount, currency="EUR")
        return amount

    def work(self, name: str, typical_s: float) -> None:
        """A child span that takes about `typical_s`."""
        with self.telemetry.tracer.start_as_current_span(name, kind=SpanKind.CLIENT):
            time.sleep(random.lognormvariate(0, 0.4) * typical_s)

    def call(self, peer: str, path: str) -> object:
        """GET a peer's route with the trace context."""
        url = f"http://127.0.0.1:{self.base_port + PORTS[peer]}{path}"
        attributes = {"http.request.method": "GET", "server.address": peer, "url.path": path}
        with self.telemetry.tracer.start_as_current_span(f"GET {path}", kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            try:
                with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                span.set_status(StatusCode.ERROR, f"{peer} answered {error.code}")
                raise Failed(502, f"{peer} answered {error.code}") from error
            except OSError as error:
                raise Failed(503, f"{peer} cannot be reached") from error

    def handle(self, path: str, headers: dict[str, str]) -> tuple[int, object]:
        """Serve one request within a server span, and count it."""
        started = time.perf_counter()
        context = propagate.extract(headers)
        attributes = {"http.request.method": "GET", "http.route": path, "url.path": path}
        with self.telemetry.tracer.start_as_current_span(
            f"GET {path}", context=context, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            status, answer = self._answer(path, span)
            elapsed = time.perf_counter() - started
            span.set_attribute("http.response.status_code", status)
            self.telemetry.duration.record(elapsed, {"http.route": path, "http.response.status_code": status})
            told: dict[str, str | int | float] = {"http.route": path, "http.response.status_code": status, "duration_ms": round(elapsed * 1000, 3)}
            self.telemetry.log("INFO" if status < 500 else "ERROR", f"GET {path} {status} in {elapsed * 1000:.1f} ms", **told)
        return status, answer

    def _answer(self, path: str, span: trace.Span) -> tuple[int, object]:
        route = self.routes.get(path)
        if route is None:
            return 404, "no such page"
        try:
            return 200, route()
        except Failed as failed:
            span.set_status(StatusCode.ERROR, str(failed))
            return failed.status, str(failed)


def serve(shop: Shop) -> None:
    """Answer HTTP on the service's port until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = shop.handle(self.path, {key.lower(): value for key, value in self.headers.items()})
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """The shop speaks through telemetry only."""

    ThreadingHTTPServer(("127.0.0.1", shop.base_port + PORTS[shop.service]), Handler).serve_forever()
