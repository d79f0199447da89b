"""Skips in one line when the captures, or tshark, are not there."""

from pathlib import Path

import pytest
from tests.captures.harness import ROOT, captures, has_tshark

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and (why := reason(item)):
            item.add_marker(pytest.mark.skip(reason=why), append=False)


def reason(item: pytest.Item) -> str:
    if not captures():
        return f"no captures in {ROOT}: name their directory in PULKA_CAPTURES (docs/testing.md)"
    if item.get_closest_marker("tshark") and not has_tshark():
        return "tshark is the oracle here: apt-get install tshark"
    return ""
