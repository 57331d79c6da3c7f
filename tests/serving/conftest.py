"""What tests of serving share: one browser, and the explorer's routes over small runs of every kind."""

import pytest
from starlette.testclient import TestClient

from browsers import chromium
from explorer_runs import folder_of_runs
from lowerbound.serving.explorer.application import application


# Playwright's loop runs in this thread for as long as the browser is open: other files have loops of their own.
@pytest.fixture(scope="module")
def browser():
    """For the pages of one file of tests: starting it takes longer than most of them."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of each kind, for one file of tests to do with as it likes."""
    return folder_of_runs(tmp_path_factory)


@pytest.fixture(scope="module")
def client(folder):
    """Who asks the explorer of that folder."""
    with TestClient(application(folder, device="cpu"), raise_server_exceptions=False) as client:
        yield client
