"""Disentanglement in an evaluation: what is measured where factors are known, and why it is left out elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lowerbound.data.sources import DataConfig, Splits, load, split_array
from lowerbound.evaluation import factor_prediction
from lowerbound.evaluation.comparison import compare
from lowerbound.evaluation.config import DisentanglementConfig, EvaluationConfig
from lowerbound.evaluation.disentanglement import ABOUT, disentanglement_metrics, why_no_factors
from lowerbound.evaluation.factor_codes import factor_codes
from lowerbound.evaluation.full_evaluation import FULL
from lowerbound.evaluation.metrics import Subject, run_metrics
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE

NUM = 400
FEW = DisentanglementConfig(num_train_votes=300, num_test_votes=200)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(factor_prediction, "NUM_TREES", 10)
    monkeypatch.setattr(factor_prediction, "NUM_REFITS", 2)


def splits_of(num_levels=(3, 4), num=NUM) -> Splits:
    """Arrays of two numbers, which are the factors."""
    rng = np.random.default_rng(0)
    levels = np.stack([rng.integers(number, size=num) for number in num_levels], axis=1)
    return split_array(levels.astype(np.float32), factors={"first": levels[:, 0], "second": levels[:, 1]})


class Copying(nn.Module):
    """An encoder whose posterior means are the two numbers."""

    def forward(self, x):
        return torch.cat([x, torch.full_like(x, -8.0)], dim=1)


def copying_model():
    decoder = nn.Linear(2, 2)
    return VAE(encoder=Copying(), decoder=decoder, event_shape=(2,), latent_dim=2, likelihood="gaussian")


def subject(splits, model=None, config=FEW):
    return Subject(model or copying_model(), splits, EvaluationConfig(disentanglement=config), "density")


def test_a_model_whose_latents_are_the_factors_has_the_best_scores():
    found = disentanglement_metrics(subject(splits_of()))
    scores = {score.name: score for score in found.scores}
    assert [*scores] == [*ABOUT]
    assert scores["mig"].value == pytest.approx(1, abs=0.1)  # 40 test examples: information is biased upwards
    assert scores["factor-vae-score"].value == 1.0
    assert scores["dci-disentanglement"].value == pytest.approx(1, abs=0.02)
    assert all(score.standard_error is not None and score.split == "test" for score in found.scores)
    assert "first" in scores["mig"].description
    assert found.arrays["factor_information"].shape == (2, 2)
    assert found.arrays["factor_numbers"].tolist() == [0, 1]


def test_the_same_examples_and_seed_give_the_same_scores():
    first, second = (disentanglement_metrics(subject(splits_of())) for _ in range(2))
    assert first.scores == second.scores


@pytest.mark.parametrize("posterior", ["full-normal", "point-mass", "logistic-normal", "power-spherical"])
def test_any_posterior_is_represented_by_its_centre(posterior):
    splits = splits_of()
    config = ModelConfig(network="dense", hidden=(8,), latent_dim=3, posterior=posterior, likelihood="gaussian")
    model = build_model(config, (2,), generator(0, "weights"))
    codes = factor_codes(model, splits.test)
    x = torch.from_numpy(splits.test.values)
    assert codes.centre == pytest.approx(model.encode(x).centre.detach().double().numpy(), abs=1e-6)
    assert {score.name for score in disentanglement_metrics(subject(splits, model)).scores} == {*ABOUT}


def test_factors_that_do_not_vary_are_left_out():
    splits = splits_of()
    codes = np.concatenate([splits.test.factors.codes[:, :1] * 0, splits.test.factors.codes], axis=1)
    factors = replace(splits.test.factors, names=("constant", "first", "second"), codes=codes)
    whole = replace(splits, test=replace(splits.test, factors=factors))
    trained = np.concatenate([splits.train.factors.codes[:, :1] * 0, splits.train.factors.codes], axis=1)
    whole = replace(whole, train=replace(splits.train, factors=replace(factors, codes=trained)))
    found = disentanglement_metrics(subject(whole))
    assert found.arrays["factor_numbers"].tolist() == [1, 2]
    assert "constant" not in found.scores[0].description


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        (lambda: load(DataConfig()), "the data have no known factors of variation"),
        (lambda: splits_of((3, 1)), "needs at least 2 factors that vary, but the data have 1"),
        (lambda: splits_of(num=100), "needs at least 20 training and test examples with factors, but a split has 10"),
    ],
)
def test_it_is_left_out_with_the_reason(splits, reason):
    assert why_no_factors(subject(splits())) == reason
    assert FULL["disentanglement"].applies is why_no_factors


def test_runs_are_compared_where_their_factors_have_the_same_names():
    few = {"test scores": FULL["test scores"], "disentanglement": FULL["disentanglement"]}
    results = run_metrics(few, subject(splits_of()))
    data = {"name": "x", "sizes": {"test": 40}, "test_checksum": "a" * 12, "factor_names": ["first", "second"]}
    one = replace(results, context={"data": data})
    found = compare([("a", one), ("b", replace(one))])
    assert all(found.score(name) for name in ABOUT)
    assert [row.score for row in found.score("mig").rows] == [results.score("mig")] * 2
    other = replace(one, context={"data": {**data, "factor_names": ["x", "y"]}})
    refused = compare([("a", one), ("b", other)]).not_compared
    assert refused == dict.fromkeys(ABOUT, "different factors of variation")


def test_numbers_of_examples_are_checked():
    with pytest.raises(ConfigError, match=r"disentanglement.num_test needs at least 20, got 3"):
        DisentanglementConfig(num_test=3)
