"""Settings of an evaluation."""

import pytest

from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.foundation.errors import ConfigError


@pytest.mark.parametrize("wrong", [{"num_draws": 0}, {"manifold_sizes": (1,)}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EvaluationConfig(**wrong)
