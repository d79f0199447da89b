"""gRPC over grpcio without generated code: `python grpc_shop.py serve` prints its port; `... call PORT` says what it called, as JSON."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent import futures

import grpc


def add(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request == b"none":
        context.abort(grpc.StatusCode.NOT_FOUND, "secret")
    if request == b"busy":
        context.abort(grpc.StatusCode.UNAVAILABLE, "secret")
    return request


def watch(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    for _ in range(20):
        yield request


def serve() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    methods = {"Add": grpc.unary_unary_rpc_method_handler(add), "Watch": grpc.unary_stream_rpc_method_handler(watch)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Cart", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def call(port: str) -> None:
    calls: Counter[str] = Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary, stream = channel.unary_unary("/shop.Cart/Add"), channel.unary_stream("/shop.Cart/Watch")
        bodies = [b"x" * (number * 50) for number in range(400)] + [b"none"] * 30 + [b"busy"] * 20
        for begin in range(0, len(bodies), 90):
            for one in [unary.future(body) for body in bodies[begin : begin + 90]]:
                calls[f"shop.Cart/Add {one.code().name}"] += 1
        for _ in range(50):
            list(stream(b"y" * 1000))
            calls["shop.Cart/Watch OK"] += 1
    print(json.dumps(calls))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else call(sys.argv[2])
