"""Requests made up from the OpenAPI document against the real process: never a 500, never an answer the document does not know."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.up import Up

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("phase", "examples"), [("coverage", 1), pytest.param("fuzzing", 50, marks=pytest.mark.slow)])
def test_the_document_holds(start: Callable[..., Up], tmp_path: Path, phase: str, examples: int) -> None:
    """2,089 requests at the bounds of every schema take 26 CPU-seconds. To fuzz takes 80 before the first request, for generators of texts: often is too dear."""
    up = start()
    up.ingest("logs", b'{"message":"hello","status":1}')
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{up.url}/openapi.json", "--checks", CHECKS, "--max-examples", str(examples),
        "--exclude-path", "/api/v1/tail",  # it never ends; tests/flow/test_tail.py
        "--seed", "7", "--phases", phase, "--no-color", "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True, check=False)
    told = [line[:300] for line in done.stdout.splitlines()]  # requests may be long
    assert done.returncode == 0, "\n".join(told[-300:]) + done.stderr[-2000:]
    assert up.query("SELECT count(*) AS n FROM logs")[0]["n"] >= 1
