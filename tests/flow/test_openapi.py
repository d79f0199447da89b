"""Requests made up from the OpenAPI document against the real process: never a 500, never an answer the document does not know."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.up import Up

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(1200)
def test_the_document_holds(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start()
    up.ingest("logs", b'{"message":"hello","status":1}')
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{up.url}/openapi.json", "--checks", CHECKS, "--max-examples", "8",
        "--exclude-path", "/api/v1/tail",  # it never ends; tests/flow/test_tail.py
        "--seed", "7", "--phases", "examples,coverage,fuzzing", "--no-color", "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True, check=False)
    told = [line[:300] for line in done.stdout.splitlines()]  # requests may be long
    assert done.returncode == 0, "\n".join(told[-300:]) + done.stderr[-2000:]
    assert up.query("SELECT count(*) AS n FROM logs")[0]["n"] >= 1
