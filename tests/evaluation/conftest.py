"""What the tests of evaluation share: a few digits."""

from dataclasses import replace

import numpy as np
import pytest

from lowerbound.data.sources import DataConfig, Splits, load


@pytest.fixture(scope="session")
def digits() -> Splits:
    """120 digits to train on and 60 to test with; not to be changed."""
    splits = load(DataConfig())
    small = np.arange(120)
    return replace(splits, train=splits.train.subset(small), test=splits.test.subset(small[:60]))
