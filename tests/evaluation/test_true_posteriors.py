"""The gridded posterior against closed forms: linear models, also folded ones, whose posterior has two modes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowerbound.data.synthetic import LinearGaussian
from lowerbound.evaluation import true_posteriors as module
from lowerbound.evaluation.true_posteriors import select_by_gap, true_posteriors
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import DiagonalNormal

pytestmark = pytest.mark.usefixtures("float64")

OBLIQUE = [[2.0, 1.0], [0.5, 3.0], [1.0, -1.0]]


def oblique(sigma: float) -> LinearGaussian:
    """Data whose posterior is correlated, as no diagonal normal is."""
    return LinearGaussian(torch.tensor(OBLIQUE), torch.tensor([0.3, -0.2, 0.1]), sigma)


def model_of(data: LinearGaussian, mean: tuple[float, float] = (0.0, 0.0), log_variance: float = -4.0) -> VAE:
    """A model that decodes as `data` do, and encodes every image alike."""
    config = ModelConfig(hidden=(), likelihood="gaussian", likelihood_options={"sigma": data.sigma})
    model = build_model(config, (1, 1, 3), generator(0, "weights")).double()
    with torch.no_grad():
        model.likelihood.log_sigma.fill_(math.log(data.sigma))
        model.decoder.output.weight.copy_(data.weight)
        model.decoder.output.bias.copy_(data.bias)
        model.encoder.heads.weight.zero_()
        model.encoder.heads.bias.copy_(torch.tensor([*mean, log_variance, log_variance]))
    return model


def images(x: Tensor) -> Tensor:
    return x[:, None, None, :]


def moments(arrays: dict[str, np.ndarray], image: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a gridded density."""
    (first, second), mass = arrays["true_posterior_axes"][image].astype(float), cell_masses(arrays, image)
    z = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    return np.average(z, axis=0, weights=mass.ravel()), np.cov(z.T, aweights=mass.ravel(), ddof=0)


def cell_masses(arrays: dict[str, np.ndarray], image: int) -> np.ndarray:
    axes = arrays["true_posterior_axes"][image].astype(float)
    first, second = axes[:, -1] - axes[:, 0]
    return arrays["true_posterior_density"][image] * first * second / (axes.shape[1] - 1) ** 2


@pytest.mark.parametrize("sigma", [0.5, 0.05, 0.005])
def test_mean_and_covariance_are_those_of_the_closed_form_however_narrow(sigma):
    data = oblique(sigma)
    x = data.sample(3, generator(0, "x"))
    # A Gaussian as narrow as the posterior, lest the window be made for it.
    exact = data.posterior_mean(x)
    arrays = true_posteriors(model_of(data, tuple(exact[0].tolist()), 2 * math.log(sigma)), images(x)[:1])
    mean, covariance = moments(arrays, 0)
    expected = data.posterior_covariance().numpy()
    scale = np.sqrt(expected.diagonal())
    assert cell_masses(arrays, 0).sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose((mean - exact[0].numpy()) / scale, 0, atol=0.01)
    np.testing.assert_allclose(covariance / np.outer(scale, scale), expected / np.outer(scale, scale), atol=0.02)


def test_the_window_is_as_narrow_as_what_it_shows_and_holds_the_encoders_gaussian():
    data = oblique(0.02)
    x = data.sample(4, generator(0, "x"))
    local = DiagonalNormal(data.posterior_mean(x) + 0.2, torch.full((4, 2), -8.0))
    arrays = true_posteriors(model_of(data, (0.5, -3.0), -6.0), images(x), 40, local=local)
    scale = data.posterior_covariance().diagonal().sqrt()
    for image, mean in enumerate(data.posterior_mean(x)):
        axes = torch.from_numpy(arrays["true_posterior_axes"][image]).double()
        low, high = axes[:, 0], axes[:, -1]
        shown = torch.stack([mean - 2.5 * scale, mean + 2.5 * scale])
        for name in ("encoder", "local"):
            centre, covariance = (torch.from_numpy(arrays[f"true_posterior_{name}_{of}"][image]) for of in MOMENTS)
            reach = 2 * covariance.diagonal().sqrt()
            shown = torch.cat([shown, torch.stack([centre - reach, centre + reach])])
        assert (low < shown.amin(0)).all() and (shown.amax(0) < high).all()
        assert (high - low < 1.5 * (shown.amax(0) - shown.amin(0))).all()


MOMENTS = ("mean", "covariance")


class Folded(nn.Module):
    """A decoder that cannot tell z on one side of a line from its mirror image on the other."""

    def __init__(self, decoder: nn.Module, line: float) -> None:
        super().__init__()
        self.decoder, self.line = decoder, line

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(torch.stack([(z[:, 0] - self.line).abs(), z[:, 1]], dim=-1))


@pytest.mark.parametrize(("sigma", "line"), [(0.3, 0.0), (0.3, 0.2), (0.01, 0.0), (0.01, -0.15)])
def test_each_of_two_modes_far_apart_has_its_mass(sigma, line):
    data = oblique(sigma)
    model = model_of(data, (1.5, 0.0), 2 * math.log(sigma))
    model.decoder = Folded(model.decoder, line)
    x = data.bias + torch.tensor([[1.7, 0.4]]) @ data.weight.T
    arrays = true_posteriors(model, images(x))
    # On either side the decoder is linear: x = ± W (z - line) + bias, of which the evidence is known.
    folds = [(torch.tensor([[1.0, 1.0]]), -1.0), (torch.tensor([[-1.0, 1.0]]), 1.0)]
    right, left = (
        LinearGaussian(data.weight * sign, data.bias + side * line * data.weight[:, 0], sigma).log_evidence(x).item()
        for sign, side in folds
    )
    expected = 1 / (1 + math.exp(left - right))
    first = arrays["true_posterior_axes"][0][0]
    mass = cell_masses(arrays, 0).sum(0)
    assert 0.1 < expected < 0.9
    assert mass[first > line].sum() == pytest.approx(expected, abs=0.02)
    assert first[0] < line - 1.6 and first[-1] > line + 1.6
    # Between the modes there is nothing.
    assert mass[np.abs(first - line) < 0.3].sum() < 1e-3


def test_memory_is_bounded_by_small_parts(monkeypatch):
    sizes = []
    data = oblique(0.1)
    model = model_of(data)
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda z: sizes.append(len(z)) or decode(z))
    true_posteriors(model, images(data.sample(2, generator(0, "x"))), 20)
    assert max(sizes) <= module.DECODER_BATCH


def test_the_arrays_are_what_the_figure_needs_in_32_bits(linear_gaussian):
    x, gap = linear_gaussian.x[:3], torch.tensor([0.1, 0.2, 0.3])
    arrays = true_posteriors(linear_gaussian.model, x, 30, gap=gap)
    assert {name.removeprefix("true_posterior_"): array.shape for name, array in arrays.items()} == {
        "axes": (3, 2, 30),
        "density": (3, 30, 30),
        "encoder_mean": (3, 2),
        "encoder_covariance": (3, 2, 2),
        "gap": (3,),
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    # This encoder is exact: what it says is what the grid holds.
    for image in range(3):
        mean, covariance = moments(arrays, image)
        np.testing.assert_allclose(mean, arrays["true_posterior_encoder_mean"][image], atol=0.01)
        np.testing.assert_allclose(covariance, arrays["true_posterior_encoder_covariance"][image], atol=0.003)


def test_other_numbers_of_latents_and_deterministic_models_are_refused():
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="but this model has 3"):
        true_posteriors(build_model(ModelConfig(latent_dim=3), (1, 2, 2), generator(0, "w")), x)
    with pytest.raises(ConfigError, match=r"needs* .*got model.posterior 'point-mass'"):
        true_posteriors(build_model(ModelConfig(posterior="point-mass"), (1, 2, 2), generator(0, "w")), x)


def test_selected_examples_are_the_quartiles_and_the_three_with_the_largest_gap():
    gap = torch.arange(101.0)
    shuffled = torch.randperm(101, generator=generator(0, "order"))
    assert gap[shuffled][select_by_gap(gap[shuffled])].tolist() == [25, 50, 75, 98, 99, 100]
    assert sorted(select_by_gap(torch.tensor([3.0, 1.0, 2.0]))) == [0, 1, 2]
    assert select_by_gap(torch.tensor([3.0])) == [0]
