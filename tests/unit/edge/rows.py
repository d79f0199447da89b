"""Rows as the core gives them, made by hand."""

from types import SimpleNamespace
from typing import Any


def row(**facts: Any) -> Any:
    return SimpleNamespace(**{
        "service": "shop", "is_client": False, "tls": False, "peer": "", "address": "", "own_address": "", "port": 80, "protocol": "http1", "operation": "GET",
        "target": "/orders/*", "status": "200", "error": None, "count": 3, "sum": 0.6, "min": 0.1, "max": 0.3, "scale": 5, "offset": -107,
        "counts": [1, 0, 2], "zeros": 0, "one_way": 0, "exemplars": [], **facts,
    })  # fmt: skip


def exemplar(**facts: Any) -> Any:
    return SimpleNamespace(**{"start_ns": 1_000_000_000, "end_ns": 1_300_000_000, "error": None, "attributes": [], **facts})
