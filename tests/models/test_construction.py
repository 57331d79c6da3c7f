"""A saved model is built again as it was, with the options of every part, or is not saved."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import lowerbound as lb
from lowerbound.foundation.errors import ConfigError, DataError, RunError, UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import part_of
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.likelihoods import BernoulliLikelihood, GaussianLikelihood, Likelihood
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.priors import MixtureOfNormalsPrior, Prior
from lowerbound.training.checkpoint import load_model, save_model


class Encoder(nn.Sequential):
    def __init__(self, out_features=4):
        super().__init__(nn.Flatten(), nn.Linear(16, out_features))


class Decoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))


class TwoPeaks(Prior):
    def __init__(self, latent_dim, distance: float = 2.0, start=None):
        super().__init__(latent_dim)
        means = torch.zeros(2, latent_dim)
        means[1] = distance
        self.register_buffer("means", means)

    def forward(self):
        return MixtureOfNormals(torch.zeros(2), DiagonalNormal(self.means, torch.zeros_like(self.means)))


def own(**parts):
    return lb.VAE(encoder=Encoder(), decoder=Decoder(), event_shape=(1, 4, 4), latent_dim=2, **parts)


def test_a_likelihood_with_options_is_loaded_with_them(tmp_path):
    likelihood = GaussianLikelihood((1, 4, 4), 0.25, mean_map="sigmoid")
    model = own(likelihood=likelihood, prior=MixtureOfNormalsPrior(2, num_components=3))
    save_model(tmp_path / "model.safetensors", model, None, {})
    loaded = load_model(tmp_path / "model.safetensors", encoder=Encoder(), decoder=Decoder())
    x = torch.rand(3, 1, 4, 4, generator=generator(0, "x"))
    assert_close(loaded.reconstruct(x), model.reconstruct(x))
    assert loaded.likelihood.options == likelihood.options
    assert loaded.likelihood.sigma == pytest.approx(0.25)
    assert loaded.config.prior_options == {"num_components": 3}


def test_own_parts_work_in_memory_and_are_not_saved_unless_registered(tmp_path):
    model = own(prior=TwoPeaks(2))
    x = torch.rand(3, 1, 4, 4, generator=generator(0, "x"))
    samples = model.sample_posterior(x, generator(0, "noise"), 2)
    assert lb.Objective()(samples).value.isfinite()
    path = tmp_path / "model.safetensors"
    with pytest.raises(RunError, match=r"its prior TwoPeaks is not registered; .*register_prior\('twopeaks'"):
        save_model(path, model, None, {})
    assert not path.exists()


def test_an_option_that_no_file_holds_is_refused_when_the_model_is_saved(tmp_path, monkeypatch):
    monkeypatch.setitem(lb.priors, "two-peaks", TwoPeaks)
    model = own(prior=TwoPeaks(2, start=torch.zeros(2)))
    with pytest.raises(RunError, match="option 'start' of prior TwoPeaks is a Tensor"):
        save_model(tmp_path / "model.safetensors", model, None, {})


def test_a_part_of_another_number_of_latents_is_refused():
    with pytest.raises(ConfigError, match="the prior has 3 latents, but the model has 2"):
        own(prior=TwoPeaks(3))


def test_options_of_priors_and_posteriors_are_settings():
    config = lb.ModelConfig(prior="mixture-of-normals", prior_options={"num_components": 4})
    model = lb.build_model(config, (1, 4, 4), generator(0, "weights"))
    assert model.prior.means.shape == (4, 2)
    with pytest.raises(UnknownName, match="option of prior 'mixture-of-normals' 'components'"):
        lb.ModelConfig(prior="mixture-of-normals", prior_options={"components": 4})
    with pytest.raises(UnknownName, match="option of posterior 'full-normal' 'rank'"):
        lb.ModelConfig(posterior="full-normal", posterior_options={"rank": 4})


def test_a_learned_prior_starts_from_the_seed_of_the_training():
    config = lb.ModelConfig(prior="mixture-of-normals")
    first, again, other = (
        lb.build_model(config, (1, 4, 4), generator(seed, "weights")).prior.means for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"prior": "laplace"}, UnknownName, "unknown prior 'laplace'"),
        ({"posterior": "own"}, UnknownName, "unknown posterior 'own'"),
    ],
)
def test_an_unknown_name_is_refused(parts, error, message):
    with pytest.raises(error, match=message):
        own(**parts)


@pytest.mark.parametrize("part", [TwoPeaks, MixtureOfNormalsPrior(2)])
def test_a_class_or_a_part_of_another_kind_is_refused(part):
    with pytest.raises(ConfigError, match="the likelihood needs a name or an instance of Likelihood, got"):
        part_of("likelihood", lb.likelihoods, Likelihood, part, (1, 4, 4))


def conditional():
    """Networks that take a context and ignore it."""

    class WithContext(nn.Module):
        takes_context = True

        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x, context):
            return self.body(x)

    return lb.VAE(encoder=WithContext(Encoder()), decoder=WithContext(Decoder()), event_shape=(1, 4, 4), latent_dim=2)


def test_a_conditional_encoder_needs_a_decoder_that_takes_the_context():
    class Conditional(Encoder):
        takes_context = True

    with pytest.raises(ConfigError, match="the encoder takes a context and the decoder does not"):
        lb.VAE(encoder=Conditional(), decoder=Decoder(), event_shape=(1, 4, 4), latent_dim=2)


@pytest.mark.parametrize(
    ("context", "came"),
    [(3, "the context is 3;"), ([3, 4], r"the context is \[3, 4\];"), (torch.tensor(3), "is a single number;")],
)
def test_a_context_that_is_no_tensor_of_examples_is_refused(unchecked, context, came):
    for model in (conditional(), own()):
        with pytest.raises(DataError, match=came):
            model.given(context)


@pytest.mark.parametrize("num", [0, 2])
def test_a_context_of_another_number_of_examples_is_refused(num):
    with pytest.raises(DataError, match=f"the context has {num} examples, the batch 3 examples or draws"):
        conditional().given(torch.zeros(num, 1)).decode(torch.zeros(3, 2))


@pytest.mark.parametrize("key", ["prior", "posterior", "likelihood", "network", "activation"])
def test_own_parts_are_not_offered_where_only_a_name_can_be_set(key):
    with pytest.raises(UnknownName) as refusal:
        lb.ModelConfig(**{key: "nothing-like-it"})
    assert "own" not in str(refusal.value).partition("accepted: ")[2].rstrip(".").split(", ")


def test_own_is_no_activation():
    with pytest.raises(UnknownName, match=r"unknown model\.activation 'own'"):
        lb.ModelConfig(activation="own")


class Flat(BernoulliLikelihood):
    """Needs one row of numbers from the decoder."""

    @property
    def raw_shape(self):
        return (64,)


class FlatFeatures(BernoulliLikelihood):
    """Gives the encoder one row of numbers."""

    @property
    def feature_shape(self):
        return (64,)


@pytest.mark.parametrize(
    ("likelihood", "reason"), [(Flat, "needs 64 from the decoder"), (FlatFeatures, "gives the encoder 64")]
)
def test_a_likelihood_that_does_not_fit_an_image_network_is_named_and_not_the_data(monkeypatch, likelihood, reason):
    monkeypatch.setitem(lb.likelihoods, "flat", likelihood)
    with pytest.raises(ConfigError) as refusal:
        lb.build_model(lb.ModelConfig(network="conv", likelihood="flat"), (1, 8, 8), generator(0, "weights"))
    assert str(refusal.value) == f"network 'conv' needs images, but likelihood 'flat' {reason}; use network 'dense'."
