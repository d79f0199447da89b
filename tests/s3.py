"""An S3 server on loopback (moto's) that can be stopped and started again with what it holds."""

import itertools
import os
from collections.abc import Mapping

import httpx
from moto.server import ThreadedMotoServer

__all__ = ["S3"]

_PORT_OF_THE_KERNEL = 0


class S3:
    """`env` is what a process needs to reach it."""

    def __init__(self) -> None:
        self._port = _PORT_OF_THE_KERNEL
        self._buckets = itertools.count()
        self._server: ThreadedMotoServer | None = None
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def env(self) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": "sesame-open", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": self.endpoint}

    @property
    def running(self) -> bool:
        return self._server is not None

    def bucket(self) -> str:
        """The URL of a prefix in a new bucket."""
        name = f"lake-{os.getpid()}-{next(self._buckets)}"
        httpx.put(f"{self.endpoint}/{name}", trust_env=False, timeout=60).raise_for_status()
        return f"s3://{name}/pulka"

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Connections are refused from here on."""
        if self._server is not None:
            self._server.stop()
        self._server = None
