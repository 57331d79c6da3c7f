"""Levels that a model's distortion is set beside: the floor of grey pixels, and the best decoder that ignores z."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from digits_models import FAST, model_of
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation.quick_evaluation import evaluate_quick
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


@pytest.fixture(scope="module")
def mnist_test():
    if not (Path(os.environ.get("LOWERBOUND_DATA", "")) / "mnist" / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip("the MNIST files are not in $LOWERBOUND_DATA/mnist")
    return load(DataConfig(source="mnist"))


def test_grey_mnist_has_the_floor_and_the_z_free_level_known_from_its_pixels(mnist_test):
    model = build_model(ModelConfig(hidden=(4,)), (1, 28, 28), generator(0, "weights"))
    results = evaluate_quick(model, mnist_test, replace(FAST, num_draws=1))
    assert results.score("grey-floor").value == pytest.approx(45.53, abs=0.005)
    assert results.score("z-free-distortion").value == pytest.approx(205.80, abs=0.005)


def test_the_floor_is_what_a_decoder_that_knows_every_pixel_reaches(digits):
    x = digits.test.values / 16
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(x * np.log(x)) - np.nan_to_num((1 - x) * np.log(1 - x))
    results = evaluate_quick(model_of(), digits, FAST)
    assert results.score("grey-floor").value == pytest.approx(entropy.sum((1, 2, 3)).mean(), rel=1e-5)


def test_no_constant_prediction_beats_the_z_free_level_on_its_own_data(digits):
    same = replace(digits, test=digits.train)
    level = evaluate_quick(model_of(), same, FAST).score("z-free-distortion").value
    x = torch.from_numpy(same.test.values / 16).flatten(1)
    mean = x.mean(0).clamp(1e-6, 1 - 1e-6)
    for shift in (-0.02, 0.0, 0.02):
        p = (mean + shift).clamp(1e-6, 1 - 1e-6)
        distortion = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
        assert level <= float(distortion) + 1e-4
