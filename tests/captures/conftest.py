"""Skips in one line when the captures, or tshark, are not there."""

import pytest
from tests.captures.harness import captures, has_tshark


@pytest.fixture(autouse=True)
def _captures_are_there(request: pytest.FixtureRequest) -> None:
    if not captures():
        pytest.skip("no captures: put them at ../shared/captures or name their directory in PULKA_CAPTURES")
    if request.node.get_closest_marker("tshark") and not has_tshark():
        pytest.skip("tshark is the oracle here: apt-get install tshark")
