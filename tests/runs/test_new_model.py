"""A model before training has the statistics of its data; one that a checkpoint will fill has not."""

import numpy as np
import torch
from torch.testing import assert_close

from lowerbound.data.conditions import conditioned
from lowerbound.runs.experiment import from_settings
from lowerbound.runs.new_model import initial_model, model_to_restore
from lowerbound.runs.run_data import splits_in_memory


def test_numbers_that_a_model_is_given_are_standardised_by_the_training_rows():
    noise = np.random.default_rng(0)
    table = {name: noise.normal(50, 10, 80).round(2).tolist() for name in ("height", "weight", "age")}
    splits = conditioned(splits_in_memory(table), ["age"])
    settings = {"model": {"hidden": [8], "likelihood": "table", "condition_on": ["age"]}}
    experiment = from_settings("custom", settings)
    ages = splits.train.context[:, 0].astype(np.float64)
    model = initial_model(experiment, splits)
    assert_close(model.encoding.mean.item(), ages.mean(), rtol=1e-6, atol=0)
    assert_close(model.encoding.deviation.item(), ages.std(), rtol=1e-6, atol=0)
    features = model.encoding(torch.from_numpy(splits.train.context))
    assert_close(features.mean().item(), 0.0, rtol=0, atol=1e-5)
    restored = model_to_restore(experiment, splits)
    assert restored.encoding.deviation.item() == 1.0
    assert restored.state_dict().keys() == model.state_dict().keys()
