"""One browser for all tests of pages: starting it takes longer than most of them."""

import pytest
from browsers import chromium


@pytest.fixture(scope="session")
def browser():
    with chromium() as opened:
        yield opened
