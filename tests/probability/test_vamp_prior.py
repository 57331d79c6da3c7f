"""The VampPrior is the mixture of its model's posteriors at the pseudo-inputs, whatever was done to the model."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

import lowerbound as lb
from lowerbound.evaluation.latent_statistics import log_aggregate_posterior
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.vamp_prior import VampPrior
from lowerbound.training.checkpoint import load_model, save_model

pytestmark = pytest.mark.usefixtures("float64")

SHAPE = (1, 4, 3)


def vamp_model(num_components=7, shape=SHAPE, **parts):
    config = ModelConfig(
        hidden=(6,), latent_dim=2, prior="vamp", prior_options={"num_components": num_components}, **parts
    )
    mean, deviation = torch.full(shape, 3.0), torch.full(shape, 2.0)
    return build_model(config, shape, generator(0, "weights"), mean, deviation)


def images(num, shape=SHAPE):
    return torch.rand(num, *shape, generator=generator(0, "images"))


def latents(num=5):
    return 2 * torch.randn(num, 2, generator=generator(0, "latents"))


def with_pseudo_inputs(model, x):
    with torch.no_grad():
        model.prior.pseudo_inputs.copy_(x.flatten(1))
    return model


class Encoder(nn.Module):
    """Posteriors with these heads for every input."""

    def __init__(self, *heads):
        super().__init__()
        self.heads = nn.Parameter(torch.tensor(heads))

    def forward(self, x):
        return self.heads.expand(len(x), -1)


class Decoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 12), nn.Unflatten(1, SHAPE))


def own_model(prior, encoder=None):
    return lb.VAE(
        encoder=encoder or Encoder(0.0, 0.0, 0.0, 0.0),
        decoder=Decoder(),
        event_shape=SHAPE,
        latent_dim=2,
        prior=prior,
    )


def test_with_the_training_set_as_pseudo_inputs_it_is_the_aggregate_posterior():
    x, z = images(9), latents()
    model = with_pseudo_inputs(vamp_model(9), x)
    assert_close(model.prior.log_prob(z), log_aggregate_posterior(z, model.encode(x)))


@pytest.mark.parametrize("num_components", [1, 3])
def test_with_an_encoder_that_ignores_x_it_is_the_standard_normal(num_components):
    model = own_model(VampPrior(2, num_components))
    expected = Normal(0.0, 1.0).log_prob(latents()).sum(-1)
    assert_close(model.prior.log_prob(latents()), expected)


def test_the_density_and_its_weights_are_those_of_torch():
    x, z = images(4), latents()
    model = with_pseudo_inputs(vamp_model(4), x)
    q = model.encode(x)
    components = Independent(Normal(q.mean, q.standard_deviation), 1)
    expected = MixtureSameFamily(Categorical(torch.ones(4)), components)
    assert_close(model.prior.log_prob(z), expected.log_prob(z))
    assert_close(model.prior.standalone().log_prob(z), expected.log_prob(z))
    assert_close(model.prior().mean, expected.mean)


def test_the_loss_reaches_every_pseudo_input_and_the_encoder_through_them():
    model = vamp_model().train()
    samples = model.sample_posterior(images(8), generator(0, "noise"))
    objective = lb.Objective().resolved("diagonal-normal", model.has_closed_form_kl)
    assert objective.rate == "monte-carlo"
    objective(samples).value.backward()
    assert (model.prior.pseudo_inputs.grad.abs().sum(1) > 0).all()
    model.zero_grad()
    model.prior.log_prob(samples.z.detach()).sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.encoder.parameters())


def test_gradients_are_those_of_finite_differences():
    model = vamp_model(3).train()
    z = latents(2)

    def density(pseudo_inputs):
        features = pseudo_inputs.unflatten(1, SHAPE)
        q = model.posterior_of_features(features)
        parts = Normal(q.mean, q.standard_deviation).log_prob(z.unsqueeze(1)).sum(-1)
        return parts.logsumexp(-1).sum() - len(z) * torch.log(torch.tensor(3.0))

    expected = torch.autograd.functional.jacobian(density, model.prior.pseudo_inputs.detach())
    model.prior.log_prob(z).sum().backward()
    assert_close(model.prior.pseudo_inputs.grad, expected)


@pytest.mark.parametrize(
    ("likelihood", "low", "high", "mean", "deviation"),
    [
        ("bernoulli", 0, 1, 0.05, 0.01),
        ("discretized-logistic", 0, 1, 0.05, 0.01),
        ("gaussian", -torch.inf, torch.inf, 3.0, 2.0),
        ("gaussian-per-element", -torch.inf, torch.inf, 0.0, 1.0),
        ("poisson", 0, torch.inf, 1.386, 0.405),  # of log(1 + x)
    ],
)
def test_pseudo_inputs_start_and_stay_within_the_range_of_features(likelihood, low, high, mean, deviation):
    model = vamp_model(2000, likelihood=likelihood)
    drawn = model.prior.pseudo_inputs.detach()
    assert drawn.mean().item() == pytest.approx(mean, abs=0.05 * deviation)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.05)
    far = with_pseudo_inputs(model, 100 * torch.randn(2000, *SHAPE, generator=generator(0, "far")))
    inside = far.prior.pseudo_inputs.clamp(low, high)
    expected = far.posterior_of_features(inside.unflatten(1, SHAPE)).mean
    assert_close(far.prior().components.mean, expected)


@pytest.mark.parametrize("network", ["dense", "conv", "resnet"])
def test_it_works_with_every_network(network):
    shape = (1, 8, 8)
    model = vamp_model(5, shape, network=network, channels=(3, 4))
    samples = model.sample_posterior(images(3, shape), generator(0, "noise"))
    assert lb.Objective()(samples).value.isfinite()


@pytest.mark.parametrize("fused", [False, True])  # a fused step leaves the versions of weights as they were
def test_outside_of_training_one_pass_of_the_encoder_serves_until_a_weight_changes(fused):
    model = vamp_model().eval()
    passes = []
    model.encoder.register_forward_hook(lambda *_: passes.append(1))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
    with torch.no_grad():
        before = model.prior.log_prob(latents())
        assert torch.equal(model.prior.log_prob(latents()), before)
    assert len(passes) == 1
    model.prior.log_prob(latents()).sum().backward()  # with gradients nothing is kept
    optimiser.step()
    with torch.no_grad():
        after_step = model.prior.log_prob(latents())
        assert (after_step != before).all()
        model.load_state_dict(vamp_model().state_dict())
        assert torch.equal(model.prior.log_prob(latents()), before)
        next(model.encoder.parameters()).mul_(1.5)
        assert (model.prior.log_prob(latents()) != before).all()
    num = len(passes)
    model.train()
    with torch.no_grad():
        model.prior(), model.prior()
    assert len(passes) == num + 2


def test_the_kept_mixture_of_inference_mode_can_be_differentiated_later():
    model = vamp_model().eval().requires_grad_(False)
    with torch.inference_mode():
        model.prior.log_prob(latents())
    z = latents().requires_grad_()
    model.prior.log_prob(z).sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("copy", [deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_a_copy_uses_its_own_encoder(copy):
    model = vamp_model().eval()
    with torch.no_grad():
        before = model.prior.log_prob(latents())
        twin = copy(model)
        assert twin.prior.model is twin
        next(twin.encoder.parameters()).mul_(2)
        assert (twin.prior.log_prob(latents()) != before).all()
        assert torch.equal(model.prior.log_prob(latents()), before)


def test_the_model_does_not_contain_itself():
    model = vamp_model()
    assert [name for name, _ in model.named_parameters() if "prior" in name] == ["prior.pseudo_inputs"]
    assert "prior.pseudo_inputs" in model.state_dict()
    assert sum(module is model.encoder for module in model.modules()) == 1


def test_a_model_file_holds_it(tmp_path):
    model = vamp_model().eval()
    save_model(tmp_path / "model.safetensors", model, None, {})
    loaded = load_model(tmp_path / "model.safetensors")
    z = latents()
    assert torch.equal(loaded.prior.log_prob(z), model.prior.log_prob(z))
    assert loaded.config.prior_options == {"num_components": 7}


def test_the_networks_may_run_in_half_precision():
    model = vamp_model(20).float()
    x, z = images(4).float(), latents().float()
    exact = model.prior.log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        samples = model.sample_posterior(x, generator(0, "noise"))
        lb.Objective()(samples).value.backward()
        rounded = model.prior.log_prob(z)
    assert rounded.dtype == torch.float64
    assert_close(rounded, exact, rtol=0.02, atol=0.05)
    assert model.prior.pseudo_inputs.grad.isfinite().all()


class Conditional(Encoder):
    takes_context = True


def test_what_it_does_not_fit_is_refused_with_the_reason():
    for parts, reason in (
        ({"posterior": "full-normal"}, "implemented for model.posterior 'diagonal-normal'; use it"),
        ({"posterior": "point-mass"}, "implemented for model.posterior 'diagonal-normal'; use it"),
        ({"likelihood": "table", "shape": (3,)}, "does not fit the rows of a table"),
    ):
        with pytest.raises(ConfigError, match=reason):
            vamp_model(**parts)
    with pytest.raises(ConfigError, match="does not fit a conditional model"):
        own_model("vamp", Conditional(0.0))
    prior = VampPrior(2, 3)
    with pytest.raises(ConfigError, match=r"uses the encoder of its model: pass it to VAE"):
        prior()
    own_model(prior)
    with pytest.raises(ConfigError, match="already belongs to a model"):
        own_model(prior)
