"""What tests of the explorer share: a run of each kind, and one that is loaded."""

import pytest

from explorer_runs import KINDS, trained
from lowerbound.serving.explorer.loaded_run import load_run


@pytest.fixture(params=KINDS)
def run(request, folder):
    """One run of each kind."""
    return folder / request.param


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    return load_run(trained(tmp_path_factory, "digits"), "cpu")
