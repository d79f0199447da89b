"""WebSocket over Debian's `websockets`: `python3 websocket_chat.py serve` prints its port; `... talk PORT` says what was sent and received, as JSON."""

import asyncio
import json
import sys
from collections import Counter

import websockets


async def echo(socket: websockets.WebSocketServerProtocol) -> None:
    async for message in socket:
        await socket.send(message)


async def serve() -> None:
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def talk(port: str) -> None:
    said: Counter[str] = Counter()
    for _ in range(3):
        async with websockets.connect(f"ws://127.0.0.1:{port}/chat", compression=None) as socket:
            for number in range(200):
                message = bytes(number * 50) if number % 4 == 0 else "hello" * number
                await socket.send(message)
                said["binary" if isinstance(message, bytes) else "text"] += 1
            for _ in range(200):
                said["binary" if isinstance(await socket.recv(), bytes) else "text"] += 1
            for _ in range(10):
                await (await socket.ping())
                said["ping"] += 1
        said["close 1000"] += 2  # each end's
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[2]))
