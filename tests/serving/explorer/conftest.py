"""What tests of the explorer share: a run of each kind, and one that is loaded."""

import pytest

from browsers import served
from explorer_pages import pages
from explorer_runs import KINDS, trained
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.loaded_run import load_run


@pytest.fixture(params=KINDS)
def run(request, folder):
    """One run of each kind."""
    return folder / request.param


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    return load_run(trained(tmp_path_factory, "digits"), "cpu")


@pytest.fixture(scope="module")
def url(folder):
    """The explorer of the runs in `folder`, served."""
    with served(application(folder, engine="torch")) as address:
        yield address


@pytest.fixture
def opened(browser, url):
    """Opens pages of that explorer."""
    with pages(browser, url) as open_page:
        yield open_page
