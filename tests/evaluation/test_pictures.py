import numpy as np
import pytest
import torch
from scipy import stats

from lowerbound.evaluation import generation
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


@pytest.fixture
def identity_like():
    """A decoder whose only two pixels are the two latents themselves."""
    config = ModelConfig(hidden=(), likelihood="gaussian", likelihood_options={"sigma": 0.1})
    model = build_model(config, (1, 1, 2), generator(0, "weights"))
    model.decoder.output.weight.data = torch.eye(2)
    return model


def test_the_first_latent_grows_to_the_right_and_the_second_upwards(identity_like):
    horizontal, vertical = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.6])
    grid = generation.manifold(identity_like, horizontal, vertical).reshape(2, 3, 2)
    np.testing.assert_allclose(grid[..., 0], np.tile(horizontal, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(grid[..., 1], np.tile(vertical[::-1, None], (1, 3)), rtol=1e-6)


def test_the_quantile_axis_cuts_the_prior_into_equal_parts(identity_like):
    axis = generation.quantile_axis(identity_like, 20)
    np.testing.assert_allclose(stats.norm.cdf(axis), (np.arange(20) + 0.5) / 20, atol=1e-6)


def test_a_traversal_changes_its_own_dimension_alone(identity_like):
    start = torch.tensor([0.3, 0.4])
    rows = generation.traversals(identity_like, [0, 1], start).reshape(2, pictures.TRAVERSAL_STEPS, 2)
    axis = np.clip(generation.quantile_axis(identity_like, pictures.TRAVERSAL_STEPS), 0, 1)
    np.testing.assert_allclose(rows[0], np.stack([axis, np.full_like(axis, 0.4)], 1), rtol=1e-5)
    np.testing.assert_allclose(rows[1], np.stack([np.full_like(axis, 0.3), axis], 1), rtol=1e-5)


def test_an_interpolation_is_a_straight_line_in_z_between_two_posterior_means(identity_like):
    first, second = torch.tensor([0.1, 0.8]), torch.tensor([0.9, 0.2])
    identity_like.encoder.heads.weight.data = torch.cat([torch.eye(2), torch.zeros(2, 2)])
    line = generation.straight_line(identity_like, first.view(1, 1, 2), second.view(1, 1, 2), 5)
    np.testing.assert_allclose(line, np.linspace(first, second, 5), rtol=1e-5)


def test_samples_at_temperature_zero_are_the_decoded_prior_mean(identity_like):
    identity_like.decoder.output.bias.data = torch.tensor([0.25, 0.75])
    images = generation.prior_samples(identity_like, 3, 0, temperature=0.0)
    np.testing.assert_allclose(images.reshape(3, 2), [[0.25, 0.75]] * 3)


def test_the_most_used_dimensions_come_first():
    means = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32) * np.array([1, 5, 2], np.float32)
    assert generation.most_used_dimensions(means) == [1, 2, 0]
