"""What the tests of runs share: one finished training, and a run whose data lie beside it."""

import numpy as np
import pytest

from digits_runs import SHORT
from lowerbound.evaluation.results import read_results
from lowerbound.runs.finished import Run
from lowerbound.runs.run import train
from lowerbound.runs.trained_model import load
from shared_folders import shared
from untrained_models import untrained_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three epochs of `dense` on the digits, trained once for all processes; not to be changed."""
    path = shared(tmp_path_factory, "finished", lambda path: train("digits", recipe="dense", out=path, settings=SHORT))
    return Run(path, load(path), read_results(path))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with data, and a run that was given their relative path."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    np.save("x.npy", np.random.default_rng(0).normal(size=(60, 5)))
    untrained_run(home / "run", "x.npy")
    return home
