import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from digits_models import FAST, model_of
from lowerbound.data.sources import DataConfig, Examples, Splits, load
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.evaluation.importance import importance_sweep
from lowerbound.evaluation.quick_evaluation import evaluate_quick
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


def rows(cells, kinds):
    """Splits of a table, all of the same rows."""
    part = Examples(cells, 1.0, layout="table", columns=columns(kinds))
    return Splits("rows", part, part, part, (), "validation", "made here", "", "0")


def columns(kinds):
    levels = {"binary": ("no", "yes")}
    return tuple(Column(name=str(i), kind=kind, levels=levels.get(kind, ())) for i, kind in enumerate(kinds))


def ignorant_model(kinds):
    """A model of zeros: its posterior is the prior, and every value of a binary column has probability 1/2."""
    config = ModelConfig(likelihood="table", hidden=(4,), latent_dim=1)
    model = build_model(config, (len(kinds),), generator(0, "weights"), columns=columns(kinds))
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def test_scores_carry_unit_split_convention_error_and_draws(digits):
    results = evaluate_quick(model_of(), digits, FAST)
    elbo = results.score("elbo")
    assert (elbo.unit, elbo.split, elbo.convention, elbo.num_examples, elbo.num_draws) == (
        "nats",
        "test",
        "grey",
        60,
        4,
    )
    assert elbo.standard_error > 0
    assert results.score("rate").num_draws is None  # its closed form has none
    sampled = evaluate_quick(model_of(prior="mixture-of-normals"), digits, FAST).score("rate")
    assert sampled.num_draws == results.score("distortion").num_draws
    rate, distortion = results.score("rate").value, results.score("distortion").value
    assert elbo.value == pytest.approx(-(rate + distortion))
    bits = results.score("bits-per-dimension")
    assert bits.value == pytest.approx(-elbo.value / (64 * np.log(2)))
    assert results.score("elbo", "train").num_examples == 60


def test_a_density_of_images_has_no_bits(digits):
    results = evaluate_quick(model_of(likelihood="gaussian"), digits, FAST)
    assert results.score("elbo").convention == "density"
    assert not [score.name for score in results.scores if score.unit == "bits/dim"]


@pytest.mark.parametrize("missing", [0.0, 0.5, 0.8])
def test_a_coin_costs_one_bit_for_each_known_cell_however_many_are_missing(missing):
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 2, (60, 5)).astype(np.float32)
    cells[rng.random(cells.shape) < missing] = np.nan
    results = evaluate_quick(ignorant_model(kinds := ("binary",) * 5), tosses := rows(cells, kinds), FAST)
    for name in ("bits-per-dimension", "evidence-bits"):
        bits = results.score(name)
        assert (bits.value, bits.unit, bits.convention) == (pytest.approx(1, abs=1e-4), "bits/dim", "discrete table")
        assert bits.standard_error == pytest.approx(0, abs=1e-4) and "for each known cell" in bits.description
    assert results.score("elbo").value == pytest.approx(-math.log(2) * (~np.isnan(tosses.test.values)).sum(1).mean())
    assert results.score("squared-error") is None


def test_a_table_with_a_column_of_numbers_has_no_bits():
    kinds = ("binary", "numeric")
    results = evaluate_quick(ignorant_model(kinds), rows(np.zeros((20, 2), np.float32), kinds), FAST)
    assert {score.convention for score in results.scores} == {"table"}
    assert not [score.name for score in results.scores if score.unit == "bits/dim"]


def test_rows_without_a_known_cell_have_no_bits():
    splits = rows(np.zeros((20, 1), np.float32), ("binary",))
    empty = replace(splits, test=replace(splits.test, stored=np.full((20, 1), np.nan, np.float32)))
    results = evaluate_quick(ignorant_model(("binary",)), empty, FAST)
    assert {score.split for score in results.scores if score.unit == "bits/dim"} == {"train"}


def test_more_draws_narrow_the_elbo_around_the_same_mean(digits):
    model = model_of().double()
    model.encoder.heads.bias.data[2:] = 1.0  # a wide posterior, so that draws differ
    few = [expected_terms(model.float(), digits.test, 1, seed).elbo.mean() for seed in range(20)]
    many = [expected_terms(model, digits.test, 16, seed).elbo.mean() for seed in range(20)]
    few, many = torch.stack(few), torch.stack(many)
    assert many.std() < 0.6 * few.std()
    assert abs(few.mean() - many.mean()) < 4 * few.std() / 20**0.5


def test_the_same_seed_gives_the_same_numbers(digits):
    first, second = (evaluate_quick(model_of(), digits, FAST) for _ in range(2))
    assert first.scores == second.scores


def test_a_deterministic_autoencoder_has_a_reconstruction_error_and_no_elbo(digits):
    results = evaluate_quick(model_of(posterior="point-mass"), digits, FAST)
    assert results.score("elbo") is None
    assert results.score("rate") is None
    assert results.score("reconstruction-error").value > 0
    assert "samples" not in results.arrays


def test_data_outside_the_support_are_refused(digits):
    negative = replace(digits, test=Examples(digits.test.values.astype(np.float32) - 1, 1.0))
    with pytest.raises(DataError, match="likelihood 'bernoulli' needs"):
        evaluate_quick(model_of(), negative, FAST)


def test_an_examples_score_does_not_depend_on_the_other_examples(digits):
    chosen = np.array([7, 3, 50])
    model = model_of()
    for measure in (
        lambda examples: expected_terms(model, examples, 4, seed=0).elbo,
        lambda examples: importance_sweep(model, examples, [8], seed=0).log_evidence.float(),
    ):
        among_all = measure(digits.test)
        torch.testing.assert_close(measure(digits.test.subset(chosen)), among_all[torch.from_numpy(chosen)])
        alone = [measure(digits.test.subset(chosen[[index]])) for index in range(3)]
        torch.testing.assert_close(torch.cat(alone), among_all[torch.from_numpy(chosen)])


def test_binary_data_are_called_binary():
    images = (np.random.default_rng(0).random((12, 8, 8, 1)) < 0.3).astype(np.uint8)
    part = Examples(images, 1.0)
    splits = Splits("bits", part, part, part, (), "validation", "made here", "", "0")
    results = evaluate_quick(model_of(), splits, FAST)
    assert {score.convention for score in results.scores} == {"binary"}
    assert results.score("grey-floor") is None


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_binarised_data_state_how_and_with_which_seed_they_were_drawn(kind):
    splits = load(DataConfig(binarisation=kind, binarisation_seed=3))
    small = replace(splits, train=splits.train.subset(np.arange(50)), test=splits.test.subset(np.arange(50)))
    results = evaluate_quick(model_of(), small, FAST)
    assert {score.convention for score in results.scores} == {f"{kind} binarisation, seed 3"}
    assert set(np.unique(results.arrays["originals"])) == {0.0, 1.0}
