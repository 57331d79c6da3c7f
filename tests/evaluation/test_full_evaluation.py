"""The whole evaluation: what it adds, in which order the numbers lie, and what it refuses to claim."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation import quadrature
from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.full_evaluation import FULL, evaluate_full
from lowerbound.evaluation.quick_evaluation import evaluate_quick
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

SMALL = EvaluationConfig(
    num_draws=2,
    num_exact=20,
    importance_draws=50,
    num_bounded=10,
    num_gaps=8,
    manifold_sizes=(3,),
    annealing=AnnealingConfig(num_temperatures=40, num_leapfrog=5, num_chains=8),
)


@pytest.fixture(scope="module")
def splits():
    few, splits = np.arange(40), load(DataConfig())
    return replace(splits, train=splits.train.subset(few), test=splits.test.subset(few))


def model_of(**options):
    return build_model(ModelConfig(hidden=(16,), **options), (1, 8, 8), generator(0, "weights"))


@pytest.fixture(scope="module")
def annealed(splits):
    stages = []

    def progress(stage, done, total):
        stages.append((stage, done, total))

    config = replace(SMALL, num_annealed=6, num_simulated=4)
    return evaluate_full(model_of(), splits, config, progress=progress), stages


def test_it_holds_the_cheap_evaluation_and_more(splits, annealed):
    whole, _ = annealed
    cheap = {score.name: score for score in evaluate_quick(model_of(), splits, replace(SMALL, num_exact=40)).scores}
    names = {score.name: score for score in whole.scores}
    assert names | cheap == names
    assert set(names) - set(cheap) == {
        "mutual-information", "aggregate-kl", "active-units", "linear-probe", "neighbour-probe",
        "importance-bound", "importance-error", "amortisation-gap", "approximation-gap",
        "annealed-evidence", "annealing-error", "annealed-lower-bound", "annealed-upper-bound", "annealing-bracket",
    }  # fmt: skip


def test_the_evidence_is_exact_on_the_complete_test_split_and_above_every_bound(annealed):
    whole, _ = annealed
    evidence = torch.from_numpy(whole.arrays["log_evidence_per_image"])
    assert len(evidence) == 40
    bounds = torch.from_numpy(whole.arrays["sweep_bounds"]).double().mean(1)
    assert bounds[0] < bounds[-1] < evidence[:10].mean() + 0.05
    assert whole.score("grey-evidence").value > whole.score("elbo").value
    error = whole.score("annealing-error")
    assert error.num_examples == 6
    assert abs(error.value) < 0.1


def test_only_simulated_images_have_an_upper_bound(annealed):
    whole, _ = annealed
    assert whole.score("annealed-evidence").num_examples == 6
    for name in ("annealed-lower-bound", "annealed-upper-bound", "annealing-bracket"):
        assert whole.score(name) is None  # of the test split
        score = whole.score(name, split="simulated")
        assert (score.num_examples, score.convention) == (4, "binary")
    assert whole.score("annealing-bracket", split="simulated").value < 0.5


def test_progress_covers_all_stages_in_order(annealed):
    whole, stages = annealed
    names = list(dict.fromkeys(stage for stage, _, _ in stages))
    assert names == [*(name for name in FULL if name not in whole.left_out)]
    counted = [(done, total) for stage, done, total in stages if stage == "annealing test examples"]
    assert counted[-1] == (240, 240)


def test_an_untrained_model_does_not_get_a_clean_bill(annealed):
    whole, _ = annealed
    assert whole.findings


def test_three_latents_are_integrated_where_two_are_not_many(splits):
    # Of the middle of two digits: the lattice of three latents is large.
    train, validation, test = (
        replace(part.subset(np.arange(2)), stored=part.values[:2, 2:6, 2:6])
        for part in (splits.train, splits.validation, splits.test)
    )
    few = replace(splits, train=train, validation=validation, test=test)
    model = build_model(ModelConfig(hidden=(4,), latent_dim=3), (1, 4, 4), generator(0, "weights"))
    whole = evaluate_full(model, few, SMALL)
    assert whole.score("grey-evidence").num_examples == 2
    assert whole.score("grey-evidence").value > whole.score("elbo").value - 0.01
    assert "true_posterior_density" not in whole.arrays


def test_where_the_evidence_does_not_converge_nothing_is_called_exact(splits, monkeypatch):
    monkeypatch.setattr(quadrature, "MAX_LEVEL", -1)
    few = replace(splits, test=splits.test.subset(np.arange(6)))
    stages = []
    whole = evaluate_full(model_of(), few, SMALL, progress=lambda stage, done, total: stages.append(stage))
    names = {score.name for score in whole.scores}
    assert "grey-evidence-not-converged" in names
    derived = {"grey-evidence", "evidence-gap", "evidence-bits", "importance-error", "approximation-gap"}
    assert not names & derived
    assert not {"log_evidence_per_image", "true_posterior_density"} & set(whole.arrays)
    words = [score.description for score in whole.scores] + [finding.sentence for finding in whole.findings] + stages
    assert not [word for word in words if "exact" in word]


def test_many_latents_are_left_to_bounds(splits):
    whole = evaluate_full(model_of(latent_dim=5), splits, SMALL)
    assert whole.score("grey-evidence") is None
    assert whole.score("approximation-gap") is None
    assert whole.score("importance-bound") is not None
    assert whole.score("active-units").value <= 5
    assert whole.left_out["log-evidence by quadrature"] == "needs at most 3 latents, but the model has 5"


def test_a_deterministic_autoencoder_is_probed_and_no_bound_is_claimed(splits):
    model = model_of(posterior="point-mass")
    with pytest.raises(ConfigError, match="no log p"):
        evaluate_full(model, splits, replace(SMALL, num_annealed=6))
    whole = evaluate_full(model, splits, SMALL)
    names = {score.name for score in whole.scores}
    assert {"reconstruction-error", "linear-probe"} <= names
    assert not names & {"elbo", "rate", "mutual-information", "importance-bound", "annealed-evidence"}
