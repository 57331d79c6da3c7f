"""Settings of a training."""

import math

import pytest

from lowerbound.foundation.errors import ConfigError
from lowerbound.training.config import TrainingConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"patience": -1},
        {"adam_beta1": 1.0},
        {"warm_up": math.inf},
        {"max_gradient_norm": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)
