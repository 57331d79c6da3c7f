"""What the tests of runs share: one finished training."""

import pytest

from digits_runs import SHORT
from lowerbound.runs.run import Run, train


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three epochs of `dense` on the digits, with its report; not to be changed."""
    return train("digits", recipe="dense", out=tmp_path_factory.mktemp("runs") / "dense", settings=SHORT)
