"""The Python face of a trained model."""

from dataclasses import replace

import numpy as np
import pytest

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError, UnknownName, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.inference.tasks import interpolate
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

FEW = lb.EvaluationConfig(num_draws=2, importance_draws=20, num_bounded=4, num_gaps=4, manifold_sizes=(3,))


def model_of(event_shape=(1, 8, 8)):
    return build_model(ModelConfig(hidden=(8,), latent_dim=4), event_shape, generator(0, "weights"))


def test_a_model_is_evaluated_on_splits_and_on_a_sources_name_alike():
    splits = load(DataConfig())
    few = np.arange(30)
    small = replace(splits, train=splits.train.subset(few), test=splits.test.subset(few))
    results = lb.evaluate(model_of(), small, FEW)
    assert results.score("elbo").num_examples == 30
    assert results.score("importance-bound").num_draws == 20
    named = lb.evaluate(model_of(), "digits", FEW)
    assert named.score("elbo").num_examples == len(splits.test)
    # The same first images, and the same draws of the same weights.
    assert named.score("importance-bound").value == pytest.approx(results.score("importance-bound").value)


def test_data_of_another_shape_or_of_no_name_are_refused():
    with pytest.raises(DataError, match="of 8×8 pixels with 1 channel, but the model takes examples of 3×2 pixels"):
        lb.evaluate(model_of((1, 2, 3)), "digits")
    with pytest.raises(UnknownName):
        lb.evaluate(model_of(), "digit")


@pytest.mark.parametrize("num", [0, 1])
def test_a_line_of_fewer_points_than_ends_is_refused(tmp_path, num):
    with pytest.raises(UsageError, match=f"at least 2 points, got {num}"):
        interpolate(tmp_path, "0", "1", num)


@pytest.mark.parametrize("words", [["--max-batch", "5000", "--max-queue", "4999"], ["--max-queue", "255"]])
def test_a_queue_too_short_for_the_largest_request_is_refused(capsys, tmp_path, words):
    line = one_line(in_process(capsys, "serve", tmp_path, *words, expect=2).err)
    assert "--max-queue is" in line and "raise it, or lower --max-batch" in line
