import asyncio

import pytest

from pulka.query.questions.answers import Asked


@pytest.fixture
def asked(lake):
    return lambda **options: Asked(lake.engine, options.pop("tenant", "acme"), **options)


@pytest.fixture
def wait():
    return asyncio.run
