"""What the tests of runs share: one finished training."""

import pytest

from digits_runs import SHORT
from lowerbound.evaluation.results import read_results
from lowerbound.runs.run import Run, train
from lowerbound.runs.trained_model import load
from shared_folders import shared


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three epochs of `dense` on the digits, trained once for all processes; not to be changed."""
    path = shared(tmp_path_factory, "finished", lambda path: train("digits", recipe="dense", out=path, settings=SHORT))
    return Run(path, load(path), read_results(path))
