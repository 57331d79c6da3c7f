from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.batches import deviation_of, mean_of, scaled
from lowerbound.data.sources import DataConfig, Examples, Splits, load
from lowerbound.evaluation.diagnosis import NOTE, WARNING, diagnose
from lowerbound.evaluation.health_metrics import STANDARD, HealthConfig, measure_health
from lowerbound.evaluation.inference_gap import GapConfig, inference_gaps
from lowerbound.evaluation.thresholds import CONVERGED_WITHIN
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.training.config import TrainingConfig
from lowerbound.training.loop import fit

NUM_TEST = 300
QUICK = replace(STANDARD, num_gap_examples=20, gaps=GapConfig(num_steps=20, num_draws=4, num_prior_draws=50))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Steps as small as these are slower with two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def healthy(linear_gaussian):
    """The exact model of linear-Gaussian data, in 32 bits as any trained one."""
    return linear_gaussian.model.float()


def images_of(data, num_images, name):
    x = data.sample(num_images, generator(0, name)).float().numpy()
    return Examples(np.ascontiguousarray(x.reshape(num_images, 1, 2, 3).transpose(0, 2, 3, 1)), 1.0)


@pytest.fixture
def splits(linear_gaussian):
    train, validation, test = (
        images_of(linear_gaussian.data, count, name)
        for name, count in (("train", 3000), ("held out", 50), ("test", NUM_TEST))
    )
    return Splits("pca", train, validation, test, (), "validation", "made here", "", "0")


def names(model, splits, **known):
    return {finding.name for finding in diagnose(measure_health(model, splits, config=QUICK, **known))}


@torch.no_grad()
def shifted_heads(model, mean=0.0, log_variance=0.0):
    model.encoder.heads.bias += torch.tensor([mean, mean, log_variance, log_variance])
    return model


def test_an_exact_model_gets_a_clean_bill(healthy, splits, linear_gaussian):
    x = torch.from_numpy(splits.test.values.transpose(0, 3, 1, 2)).flatten(1).double()
    evidence = linear_gaussian.data.log_evidence(x).float()
    known = {
        "log_evidence_per_image": evidence.numpy(),
        "pareto_k_per_image": np.full(NUM_TEST, -5.0),
        "effective_sample_size_per_image": np.full(NUM_TEST, 100.0),
    }
    found = measure_health(healthy, splits, config=QUICK, known=known)
    assert diagnose(found) == ()
    assert found.active_units == 2
    assert abs(found.approximation_gap.value) < 0.01
    assert found.mutual_information.value + found.aggregate_kl.value == pytest.approx(
        sum(found.rate_per_dimension), abs=0.1
    )


def test_a_vae_trained_on_digits_gets_a_clean_bill():
    digits = load(DataConfig())
    model = build_model(ModelConfig(hidden=(32,)), (1, 8, 8), generator(0, "weights"))
    config = TrainingConfig(num_epochs=30, learning_rate=1e-2, schedule="one-cycle")
    fit(model, digits, config=config)
    found = measure_health(model, digits, config=QUICK)
    assert found.gain > 1
    assert diagnose(found) == ()


def test_a_vae_trained_on_forty_digits_is_found_to_overfit():
    digits = load(DataConfig())
    few = replace(digits, train=digits.train.subset(np.arange(40)), validation=digits.train.subset(np.arange(40)))
    model = build_model(ModelConfig(hidden=(64,)), (1, 8, 8), generator(0, "weights"))
    config = TrainingConfig(num_epochs=150, batch_size=40, learning_rate=2e-2)
    fit(model, few, config=config)
    assert "overfitting" in names(model, few)


def test_an_encoder_that_ignores_the_image_has_collapsed(healthy, splits):
    with torch.no_grad():
        healthy.encoder.heads.weight.zero_()
        healthy.encoder.heads.bias.zero_()
    found = measure_health(healthy, splits, config=QUICK)
    assert found.active_units == 0
    assert found.rate.value == pytest.approx(0)
    assert "posterior collapse" in {finding.name for finding in diagnose(found)}


def test_a_decoder_without_weights_for_z_ignores_it(healthy, splits):
    with torch.no_grad():
        healthy.decoder.output.weight.zero_()
    assert "decoder ignores z" in names(healthy, splits)


def test_log_variances_beyond_the_bound_are_found(healthy, splits):
    assert "log-variance at its bound" in names(shifted_heads(healthy, log_variance=-30.0), splits)


def test_codes_far_from_the_origin_leave_holes(healthy, splits):
    assert "holes in the latent space" in names(shifted_heads(healthy, mean=3.0), splits)


def test_an_encoder_that_is_off_is_the_bottleneck(healthy, splits):
    found = measure_health(shifted_heads(healthy, mean=0.8), splits, config=QUICK)
    assert [finding.name for finding in diagnose(found)] == ["encoder is the bottleneck"]


@pytest.mark.parametrize(("sigma", "expected"), [(1e-3, True), (0.5, False)])
def test_a_learned_sigma_is_measured(sigma, expected, healthy, splits):
    options = {"sigma": sigma, "learn_sigma": True}
    config = ModelConfig(hidden=(), likelihood="gaussian", likelihood_options=options)
    model = build_model(config, (1, 2, 3), generator(0, "weights"))
    model.encoder, model.decoder = healthy.encoder, healthy.decoder
    assert ("σ at its bound" in names(model, splits)) is expected


def test_a_fixed_sigma_is_the_users_choice(splits):
    options = {"sigma": 1e-3}
    config = ModelConfig(hidden=(), likelihood="gaussian", likelihood_options=options)
    model = build_model(config, (1, 2, 3), generator(0, "weights"))
    assert measure_health(model, splits, config=QUICK).learned_sigma is None


def test_images_that_the_likelihood_refuses_are_counted_and_nothing_else_is_measured():
    digits = load(DataConfig())
    images = digits.test.values.astype(np.float32) / 16
    images[:9] -= 0.5
    ill = replace(digits, test=Examples(images, 1.0))
    model = build_model(ModelConfig(hidden=(4,)), (1, 8, 8), generator(0, "weights"))
    found = measure_health(model, ill, config=QUICK)
    assert found.outside_share == pytest.approx(9 / (1257 + 180 + 360))
    assert found.test_elbo is None
    (finding,) = diagnose(found)
    assert finding.name == "data outside the support"
    assert "likelihood 'bernoulli' needs [0, 1]" in finding.sentence


def test_grey_pixels_under_a_bernoulli_are_admitted():
    model = build_model(ModelConfig(hidden=(4,)), (1, 8, 8), generator(0, "weights"))
    assert measure_health(model, load(DataConfig()), config=QUICK).outside_share == 0


def test_unreliable_weights_are_found(healthy, splits):
    ill = np.where(np.arange(NUM_TEST) % 4 == 0, 0.9, 0.2)
    known = {"pareto_k_per_image": ill, "effective_sample_size_per_image": np.full(NUM_TEST, 7.0)}
    found = measure_health(healthy, splits, config=QUICK, known=known)
    assert (found.unreliable_share, found.effective_sample_size) == (0.25, 7.0)
    (finding,) = diagnose(found)
    assert finding.name == "unreliable log-evidence estimate"
    assert "For 25% of the examples" in finding.sentence
    assert finding.severity == WARNING


def test_unreliable_weights_with_exact_evidence_are_only_a_note(healthy, splits, linear_gaussian):
    x = torch.from_numpy(splits.test.values.transpose(0, 3, 1, 2)).flatten(1).double()
    exact = {"log_evidence_per_image": linear_gaussian.data.log_evidence(x).numpy()}
    found = measure_health(healthy, splits, config=QUICK, known=exact | {"pareto_k_per_image": np.full(NUM_TEST, 0.9)})
    (finding,) = diagnose(found)
    assert (finding.name, finding.severity) == ("unreliable log-evidence estimate", NOTE)


def test_gaps_that_are_known_are_not_searched_again(healthy, splits):
    known = {"amortisation_gap_per_image": np.array([1.0, 3.0]), "approximation_gap_per_image": np.array([0.5, 0.5])}
    found = measure_health(healthy, splits, config=QUICK, known=known)
    assert (found.amortisation_gap.value, found.approximation_gap.value) == (2.0, 0.5)


def test_images_with_too_few_draws_for_a_shape_are_left_unjudged(healthy, splits):
    unknown = np.full(8, np.nan)
    assert measure_health(healthy, splits, config=QUICK, known={"pareto_k_per_image": unknown}).unreliable_share is None
    some = np.concatenate([unknown, [0.9, 0.1]])
    assert measure_health(healthy, splits, config=QUICK, known={"pareto_k_per_image": some}).unreliable_share == 0.5


def test_evidence_below_the_bound_is_found(healthy, splits):
    too_low = np.full(NUM_TEST, -100.0)
    assert names(healthy, splits, known={"log_evidence_per_image": too_low}) == {
        "log-evidence estimate below a lower bound"
    }


def test_monitored_test_images_are_found(healthy, splits):
    assert names(healthy, replace(splits, monitored="test")) == {"model selected on the test split"}


def test_the_gaps_are_those_of_the_first_test_images_for_which_the_evidence_is_known(healthy, splits):
    evidence = torch.linspace(-10, -5, 12)
    found = measure_health(healthy, splits, config=QUICK, known={"log_evidence_per_image": evidence.numpy()})
    expected = inference_gaps(healthy, splits.test.subset(np.arange(12)), evidence, QUICK.gaps, seed=0)
    assert found.approximation_gap == expected.mean_approximation_gap
    assert found.log_evidence.value == pytest.approx(-7.5)


def test_the_level_without_z_is_that_of_the_training_images(healthy, splits):
    found = measure_health(healthy, splits, config=replace(QUICK, num_examples=5000))
    x = torch.from_numpy(splits.train.values).flatten(1)
    sigma = healthy.likelihood.sigma
    expected = -torch.distributions.Normal(x.mean(0), sigma).log_prob(x).sum(1).mean().item()
    assert found.z_free_distortion.value == pytest.approx(expected, rel=1e-5)
    assert found.distortion_gain.value == pytest.approx(expected - found.distortion.value, rel=1e-5)
    assert found.distortion_gain.standard_error < found.z_free_distortion.standard_error


UNSCALED = ("poisson", "negative-binomial", "gaussian-per-element")
"""Families that take numbers as they are stored."""


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_decoder_that_ignores_z_is_found_whatever_the_likelihood(name):
    splits = digits_for(name)
    options = {"num_levels": 17} if name in ("discretized-logistic", "categorical") else {}
    config = ModelConfig(hidden=(), likelihood=name, likelihood_options=options, output_bias="mean")
    statistics = mean_of(splits.train), deviation_of(splits.train)
    model = build_model(config, splits.train.event_shape, generator(0, "weights"), *statistics)
    with torch.no_grad():
        model.decoder.output.weight.zero_()
    found = measure_health(model, splits, config=replace(QUICK, num_examples=100, num_coded=50, num_gap_examples=2))
    assert found.distortion_gain.value <= 1e-3
    assert found.swap_loss.value == 0
    # Where its other parameters are far from fitted, it is not known to ignore z once it is trained.
    is_far = found.distortion_gain.value < -CONVERGED_WITHIN
    assert ("undertrained" if is_far else "decoder ignores z") in {finding.name for finding in diagnose(found)}


def test_latents_of_another_example_cost_what_the_decoder_draws_from_them(healthy, splits):
    config = replace(QUICK, num_examples=200)
    found = measure_health(healthy, splits, config=config, is_quick=True)
    x = scaled(splits.train.subsample(config.num_examples))
    with torch.no_grad():
        z = healthy.encode(x).mean
        own, other = (healthy.decode(code).log_prob(x) for code in (z, z.roll(1, 0)))
    assert found.swap_loss.value == pytest.approx(float((own - other).mean()), rel=1e-4)
    assert found.swap_loss.value > 1
    assert found.amortisation_gap is None and found.aggregate_kl is not None


def digits_for(name):
    """Digits in the shape and the unit that a likelihood takes them in."""
    digits = load(DataConfig())
    if name == "table":
        rows = [
            Examples(part.values.reshape(len(part), -1).astype(np.float32), 1.0, layout="table")
            for part in (digits.train, digits.validation, digits.test)
        ]
    elif name in UNSCALED:
        rows = [replace(part, max_value=1.0) for part in (digits.train, digits.validation, digits.test)]
    else:
        return digits
    return replace(digits, train=rows[0], validation=rows[1], test=rows[2])


def test_only_reconstructions_of_an_autoencoder_are_measured():
    model = build_model(ModelConfig(hidden=(4,), posterior="point-mass"), (1, 8, 8), generator(0, "weights"))
    found = measure_health(model, load(DataConfig()), config=QUICK)
    assert found.distortion is not None
    assert (found.rate, found.train_elbo, found.aggregate_kl, found.amortisation_gap) == (None,) * 4


def test_equal_seeds_give_equal_symptoms(healthy, splits):
    first, second, other = (measure_health(healthy, splits, config=QUICK, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first.aggregate_kl != other.aggregate_kl


@pytest.mark.parametrize("key", ["num_examples", "num_draws", "num_coded", "num_gap_examples"])
def test_a_config_too_small_for_a_standard_error_is_refused(key):
    with pytest.raises(ConfigError, match=key):
        HealthConfig(**{key: 0})
