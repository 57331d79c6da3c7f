"""measure_gradients(): every estimator at a model, for posteriors and encoder weights, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.batches import Batch, Batches
from lowerbound.data.sources import Examples
from lowerbound.evaluation import gradient_bench
from lowerbound.evaluation.gradient_bench import ENCODER, GradientConfig, measure_gradients, raw_posteriors, target_of
from lowerbound.evaluation.gradient_statistics import gradient_statistics
from lowerbound.foundation.errors import ConfigError, TooLarge, UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.gradient_estimators import ESTIMATORS, estimate_gradients

EXAMPLES = Examples(np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8), max_value=255.0)
FEW = GradientConfig(num_examples=3, num_estimates=100)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(gradient_bench, "TIMING", 0.0)


def model(**settings):
    config = ModelConfig(hidden=(8,), latent_dim=2, **settings)
    return build_model(config, (1, 4, 4), generator(0, "weights"))


def measured(bench):
    return {row.name: row for row in bench.estimators if not row.left_out}


def test_every_estimator_is_measured_or_left_out_with_the_reason():
    bench = measure_gradients(model(), EXAMPLES, FEW)
    assert [row.name for row in bench.estimators] == list(ESTIMATORS)
    assert {row.name for row in bench.estimators if row.left_out} == {"dreg"}
    assert bench.groups == ("mean", "log-variance", ENCODER)
    assert bench.rate == "analytic"
    for row in measured(bench).values():
        assert set(row.statistics) == set(bench.groups)
        assert not any(found.has_bias for found in row.statistics.values())
        assert row.statistics["mean"].variance.value > 0
        assert row.num_estimates == 100
        assert row.seconds.value > 0
    assert measured(bench)["reparameterized"].relative_time.value == 1
    assert measured(bench)["measure-valued"].evaluations == 7


def test_the_same_seed_gives_the_same_statistics():
    first, again, other = (
        measured(measure_gradients(model(), EXAMPLES, replace(FEW, seed=seed))) for seed in (0, 0, 1)
    )
    for name, row in first.items():
        assert row.statistics == again[name].statistics
        assert row.statistics != other[name].statistics


def test_a_biased_estimator_is_found_out():
    network = model()
    with torch.no_grad():
        network.encoder.heads.bias += 1.0  # a wrong posterior
    bench = measure_gradients(network, EXAMPLES, GradientConfig(bound="iwae", num_samples=8, num_estimates=500))
    rows = measured(bench)
    assert bench.reference == "dreg"
    assert rows["stl"].is_biased
    assert any(found.has_bias for found in rows["stl"].statistics.values())
    assert not any(row.is_biased for name, row in rows.items() if name != "stl")
    assert not any(found.has_bias for name, row in rows.items() if name != "stl" for found in row.statistics.values())


def test_statistics_of_encoder_weights_are_those_of_gradients_computed_through_the_encoder():
    network = model()
    batch = next(iter(Batches(EXAMPLES.head(3), 3)))
    factor, _ = gradient_bench._encoder_factor(network, batch)
    weights = list(network.encoder.parameters())
    found = {}
    for name in ("stl", "reparameterized"):
        rows = estimate_gradients(target_of(network, batch, FEW), name, 40, generator(0, name))
        raw = raw_posteriors(network, batch)
        through = [torch.autograd.grad(raw, weights, row.to(raw) / 3, retain_graph=True) for row in rows]
        flat = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in through]).double()
        found[name] = gradient_bench._Groups({}, factor).parts(rows)[ENCODER], flat.unsqueeze(1)
    short, direct = (gradient_statistics(found["stl"][way], found["reparameterized"][way], False) for way in (0, 1))
    for quantity in ("variance", "squared_bias", "signal_to_noise"):
        for part in ("value", "standard_error"):
            one, other = (getattr(getattr(way, quantity), part) for way in (short, direct))
            assert one == pytest.approx(other, rel=1e-3), (quantity, part)


def test_too_many_weights_are_left_out_with_the_number_of_examples_that_would_do(monkeypatch):
    monkeypatch.setattr(gradient_bench, "MAX_JACOBIAN", 1500)
    bench = measure_gradients(model(), EXAMPLES, FEW)
    assert bench.groups == ("mean", "log-variance")
    assert "use at most 2 examples" in bench.left_out_groups[ENCODER]


def test_other_posteriors_have_what_is_defined_for_them():
    bench = measure_gradients(model(posterior="full-normal"), EXAMPLES, FEW)
    left_out = {row.name: row.left_out for row in bench.estimators if row.left_out}
    assert left_out.keys() == {"dreg", "measure-valued"}
    assert "diagonal normal" in left_out["measure-valued"]
    assert bench.groups == ("posterior's parameters", ENCODER)
    assert not any(found.has_bias for row in measured(bench).values() for found in row.statistics.values())


@pytest.mark.parametrize(
    ("posterior", "prior", "latent_dim", "left_out"),
    [
        ("iaf", "standard-normal", 2, {"dreg", "measure-valued", "reparameterized-monte-carlo"}),
        ("power-spherical", "uniform-on-sphere", 3, {"dreg", "measure-valued"}),
        ("gumbel-softmax", "uniform-categorical", 10,
         {"dreg", "measure-valued", "reparameterized", "reparameterized-monte-carlo", "stl"}),
    ],
)  # fmt: skip
def test_posteriors_of_flows_and_of_other_spaces_too(posterior, prior, latent_dim, left_out):
    """Draws of one-hot codes are not differentiable: the score function remains."""
    config = ModelConfig(hidden=(8,), latent_dim=latent_dim, posterior=posterior, prior=prior)
    bench = measure_gradients(build_model(config, (1, 4, 4), generator(0, "weights")), EXAMPLES, FEW)
    assert {row.name for row in bench.estimators if row.left_out} == left_out
    assert not any(found.has_bias for row in measured(bench).values() for found in row.statistics.values())


def test_a_prior_without_a_closed_form_has_the_monte_carlo_rate():
    bench = measure_gradients(model(prior="mixture-of-normals"), EXAMPLES, FEW)
    assert bench.rate == "monte-carlo"
    assert "no closed-form rate" in {row.name: row.left_out for row in bench.estimators}["reparameterized-monte-carlo"]
    assert not any(found.has_bias for row in measured(bench).values() for found in row.statistics.values())


def test_an_estimator_that_decodes_much_has_fewer_estimates(monkeypatch):
    monkeypatch.setattr(gradient_bench, "MAX_EVALUATIONS", 3 * 2 * 7 * 120)
    rows = measured(measure_gradients(model(), EXAMPLES, replace(FEW, num_estimates=200)))
    assert rows["measure-valued"].num_estimates == 120
    assert rows["stl"].num_estimates == 200


def test_the_model_is_unchanged():
    network = model()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure_gradients(network, EXAMPLES, FEW)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in network.parameters())


def test_raw_posteriors_are_the_parameters_of_the_encoders_posterior():
    network, batch = model(), next(iter(Batches(EXAMPLES, 6)))
    raw = raw_posteriors(network, batch)
    assert torch.equal(network.posterior(raw).mean, network.encode(batch.x).mean)
    assert isinstance(batch, Batch)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"num_samples": 0}, ConfigError, "num_samples needs at least 1"),
        ({"num_examples": 0}, ConfigError, "num_examples needs at least 1"),
        ({"num_estimates": 99}, ConfigError, "num_estimates needs at least 100"),
        ({"bound": "iwea"}, UnknownName, "did you mean 'iwae'"),
        ({"num_samples": 10**9}, TooLarge, "use at most"),
        ({"num_estimates": 10**9}, TooLarge, "use at most"),
    ],
)
def test_numbers_that_cannot_be_measured_are_refused(settings, error, reason):
    with pytest.raises(error, match=reason):
        measure_gradients(model(), EXAMPLES, GradientConfig(**settings))


def test_an_autoencoder_has_no_such_gradient():
    with pytest.raises(ConfigError, match="point-mass posterior has no ELBO"):
        measure_gradients(model(posterior="point-mass"), EXAMPLES, FEW)
