"""What a VAE can be asked, for every network and likelihood."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.architectures import NETWORKS
from lowerbound.networks.layers import count_parameters
from lowerbound.probability.codes import ChosenCodes
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.iaf_posterior import InverseAutoregressiveNormal
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.one_hot import CategoricalCodes
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.sphere import PowerSpherical
from small_models import LATENTS, SHAPE, every_likelihood, latents_for, small, weights

pytestmark = pytest.mark.usefixtures("float64")

OF_POSTERIOR = {
    "diagonal-normal": DiagonalNormal,
    "low-rank-normal": LowRankNormal,
    "full-normal": FullNormal,
    "iaf": InverseAutoregressiveNormal,
    "point-mass": PointMass,
    "power-spherical": PowerSpherical,
    "gumbel-softmax": CategoricalCodes,
    "logistic-normal": LogisticNormal,
    "vq": ChosenCodes,
    "residual-vq": ChosenCodes,
    "fsq": ChosenCodes,
}

# Maps of latents, which need more of them than LATENTS, have tests of their own.
every_network = pytest.mark.parametrize("network", [name for name in NETWORKS if not NETWORKS[name].map_size])
every_posterior = pytest.mark.parametrize("posterior", POSTERIORS)


def images(count=4):
    return torch.rand(count, *SHAPE, generator=generator(0, "images"))


# ---- shapes


@every_network
@every_likelihood
@every_posterior
def test_encoding_and_decoding_return_distributions_over_examples(network, likelihood, posterior):
    model = small(network, likelihood, posterior)
    q = model.encode(images())
    assert isinstance(q, OF_POSTERIOR[posterior])
    assert q.centre.shape == (4, latents_for(posterior))
    p = model.decode(q.centre)
    assert p.mean.shape == (4, *SHAPE)
    assert p.log_prob(images()).shape == (4,)
    assert model.latent_dim == latents_for(posterior)
    assert model.is_deterministic == (posterior == "point-mass")


@every_network
def test_latents_decode_alike_one_by_one_in_a_batch_and_under_a_sample_axis(network):
    model = small(network)
    z = torch.randn(2, 3, LATENTS, generator=generator(0, "z"))
    together = model.decode(z).mean
    assert together.shape == (2, 3, *SHAPE)
    assert_close(torch.stack([model.decode(row).mean for row in z]), together)
    assert_close(model.decode(z[1, 2]).mean, together[1, 2])


@every_network
def test_an_example_is_encoded_alike_whatever_its_company(network):
    model, x = small(network), images()
    assert_close(model.encode(x[1:2]).mean, model.encode(x).mean[1:2])


# ---- densities


@every_network
@every_likelihood
def test_a_log_weight_is_the_log_joint_less_log_q(network, likelihood):
    model, x = small(network, likelihood), images()
    samples = model.sample_posterior(x, generator(0, "noise"), num_samples=5)
    assert samples.z.shape == (5, 4, LATENTS)
    assert_close(samples.log_weight, model.log_joint(x, samples.z) - model.encode(x).log_prob(samples.z))
    # And each draw stands with its own example.
    for k, i in ((0, 3), (4, 1)):
        z = samples.z[k, i]
        alone = model.decode(z).log_prob(x[i]) + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
        assert_close(model.log_joint(x, samples.z)[k, i], alone)


def test_draws_are_those_of_the_posterior_with_the_same_generator():
    model, x = small(), images()
    samples = model.sample_posterior(x, generator(0, "noise"), num_samples=5)
    assert torch.equal(samples.z, model.encode(x).sample(generator(0, "noise"), 5))


def test_every_log_weight_equals_the_log_evidence_when_the_posterior_is_exact(linear_gaussian):
    samples = linear_gaussian.model.sample_posterior(linear_gaussian.x, generator(0, "noise"), num_samples=5)
    assert_close(samples.log_weight, linear_gaussian.log_evidence.expand(5, -1))


# ---- reconstructions and generated images


@every_network
def test_a_reconstruction_without_a_generator_decodes_the_posterior_mean(network):
    model, x = small(network), images()
    assert torch.equal(model.reconstruct(x), model.reconstruct(x))
    assert_close(model.reconstruct(x), model.decode(model.encode(x).mean).mean)


def test_a_reconstruction_with_a_generator_decodes_one_draw():
    model, x = small(), images()
    drawn = model.reconstruct(x, generator(0, "noise"))
    z = model.encode(x).sample(generator(0, "noise"), 1)[0]
    assert torch.equal(drawn, model.decode(z).mean)
    assert not torch.equal(drawn, model.reconstruct(x))


@every_network
def test_at_temperature_0_every_image_is_the_decoded_prior_mean(network):
    model = small(network)
    expected = model.decode(torch.zeros(3, LATENTS)).mean
    assert_close(model.generate(3, generator(0, "images"), temperature=0.0), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_scales_the_standard_deviation_of_the_prior(temperature):
    model = small()
    stream = generator(0, "images")
    z = torch.stack([torch.randn(LATENTS, generator=stream) for _ in range(3)])
    found = model.generate(3, generator(0, "images"), temperature)
    assert_close(found, model.decode(temperature * z).mean)


# ---- building


@every_network
@every_likelihood
def test_equal_seeds_build_equal_models_and_other_seeds_others(network, likelihood):
    assert torch.equal(weights(small(network, likelihood)), weights(small(network, likelihood)))
    assert not torch.equal(weights(small(network, likelihood)), weights(small(network, likelihood, seed=1)))


@every_network
def test_a_learned_sigma_belongs_to_the_likelihood_and_not_to_the_decoder(network):
    fixed, learned = small(network, "gaussian"), small(network, "gaussian", learn_sigma=True)
    assert count_parameters(learned) == count_parameters(fixed) + 1
    assert count_parameters(learned.decoder) == count_parameters(fixed.decoder)


def test_likelihood_options_reach_the_likelihood():
    likelihood = small(likelihood="gaussian", sigma=0.25, mean_map="sigmoid").likelihood
    assert likelihood.sigma == pytest.approx(0.25)
    assert likelihood.mean_map == "sigmoid"


@pytest.mark.parametrize(
    ("network", "encoder_size", "decoder_size"), [("dense", 403_972, 403_728), ("conv", 69_076, 65_089)]
)
def test_the_two_reference_models_have_their_published_sizes(network, encoder_size, decoder_size):
    config = ModelConfig(network=network, hidden=(512,) if network == "dense" else (16,), channels=(32, 64))
    model = build_model(config, (1, 28, 28), generator(0, "weights"))
    assert (count_parameters(model.encoder), count_parameters(model.decoder)) == (encoder_size, decoder_size)
    assert count_parameters(model) == encoder_size + decoder_size


def test_the_decoder_of_a_dense_model_walks_the_encoders_widths_back():
    model = build_model(ModelConfig(hidden=(9, 6, 4), latent_dim=LATENTS), SHAPE, generator(0, "weights"))
    encoder, decoder = ([layer.output_shape for layer in table if layer.num_parameters] for table in model.layers())
    assert encoder == [(9,), (6,), (4,), (2 * LATENTS,)]
    assert decoder == [(4,), (6,), (9,), (30,)]


# ---- refusals


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_decoder_that_starts_at_the_mean_predicts_the_mean_image_where_its_weights_are_zero(network):
    mean = torch.rand(2, 5, 4, generator=generator(0, "mean")).clamp(0.1, 0.9)
    mean = mean if network == "dense" else mean.mean((1, 2), keepdim=True).expand(2, 5, 4)
    config = ModelConfig(network=network, hidden=(3,), channels=(4,), output_bias="mean")
    model = build_model(config, (2, 5, 4), generator(0, "weights"), mean)
    model.decoder.output.weight.data.zero_()
    torch.testing.assert_close(model.decode(torch.zeros(1, 2)).mean[0].float(), mean.float())


def test_activations_are_what_the_configuration_says():
    model = build_model(ModelConfig(hidden=(3, 4), activation="tanh"), (1, 2, 2), generator(0, "weights"))
    x = torch.rand(5, 1, 2, 2, generator=generator(0, "x"))
    assert model.encoder.body(x).min() < 0
    assert model.encoder.body(100 * x).abs().max() <= 1


def test_other_networks_are_those_of_a_model_that_shares_all_other_parts():
    model, other = small(), small(seed=1)
    changed = model.with_networks(other.encoder, other.decoder)
    assert_close(changed.encode(images()).mean, other.encode(images()).mean)
    assert (changed.prior, changed.likelihood, changed.posterior) == (model.prior, model.likelihood, model.posterior)
    assert changed.encoder is other.encoder and changed.decoder is other.decoder
    assert model.encoder is not other.encoder and model.decoder is not other.decoder
