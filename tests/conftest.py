"""What several folders of tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.s3 import S3
    from tests.up import Up

# The same examples each time, so that one commit has one verdict; `make test-slow` draws others, by the profile `default`.
settings.register_profile("same", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3"]:
    from tests.s3 import S3

    server = S3()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """The server, running, with this process's environment pointing at it."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "Up"]]:
    """start(**settings) runs `pulka up`; the same state directory within a test unless given another."""
    from tests.up import starting

    with starting(tmp_path) as start:
        yield start
