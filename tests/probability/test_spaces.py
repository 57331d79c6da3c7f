"""Spaces of latents: which codes they contain, the paths between them, and posteriors and priors that share one."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import lowerbound as lb
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.objectives.combinations import OF_SINGLE_LATENTS
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.priors import PRIORS
from lowerbound.probability.spaces import REAL, SIMPLEX, SPHERE, OneHot
from lowerbound.runs.experiment import from_settings
from small_models import latents_for, small

pytestmark = pytest.mark.usefixtures("float64")

CODES = OneHot(3)


@pytest.mark.parametrize(
    ("space", "inside", "outside", "said"),
    [
        (SPHERE, [0.6, 0.0, -0.8], [0.6, 0.1, -0.9], "code 1 has length 1.08"),
        (SIMPLEX, [0.2, 0.3, 0.5], [0.2, 0.3, 0.6], "code 1 has the sum 1.1"),
        (SIMPLEX, [0.2, 0.3, 0.5], [1.2, -0.2, 0.0], "code 1 contains -0.2"),
        (CODES, [0.0, 1.0, 0.0], [0.5, 0.5, 0.0], "code 1 is not one-hot in groups of 3"),
        (CODES, [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], "code 1 is not one-hot in groups of 3"),
    ],
)
def test_a_code_outside_of_the_space_is_named_with_the_reason(space, inside, outside, said):
    assert space.problem(torch.tensor([inside])) == ""
    assert space.problem(torch.tensor([inside, outside])).startswith(said)
    assert REAL.problem(torch.tensor([outside])) == ""


def test_the_path_on_the_sphere_is_the_shorter_arc_at_equal_angles():
    first, second = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0.6, 0.8])
    path = SPHERE.path(first, second, 5)
    angles = (path[1:] * path[:-1]).sum(-1).acos()
    assert_close(angles, torch.full((4,), math.pi / 8))
    assert_close(path[[0, -1]], torch.stack([first, second]))


@pytest.mark.parametrize("second", [[-1.0, 0, 0], [1.0, 0, 0], [1.0, 1e-9, 0]])
def test_the_path_between_equal_or_opposite_points_stays_on_the_sphere(second):
    path = SPHERE.path(torch.tensor([1.0, 0, 0]), torch.tensor(second), 7)
    assert_close(path.norm(dim=-1), torch.ones(7))
    assert_close(path[-1], torch.tensor(second), rtol=0, atol=1e-6)


def test_every_point_of_a_path_between_codes_is_a_code():
    first, second = torch.eye(3)[[0, 0, 1]].flatten(), torch.eye(3)[[2, 0, 0]].flatten()
    path = CODES.path(first, second, 10)
    assert CODES.problem(path) == ""
    assert_close(path[[0, -1]], torch.stack([first, second]))


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_default_prior_is_that_of_the_posteriors_space(name):
    config = ModelConfig(posterior=name, latent_dim=latents_for(name))
    space = POSTERIORS[name].space
    assert config.prior == space.prior
    assert PRIORS[config.prior].space_with(config.prior_options) == space
    assert small(posterior=name).space == space


def test_the_prior_takes_the_number_of_categories_from_the_posterior():
    config = ModelConfig(posterior="gumbel-softmax", posterior_options={"num_categories": 4}, latent_dim=8)
    assert config.prior_options == {"num_categories": 4}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"posterior": "power-spherical", "prior": "standard-normal"}, "set model.prior=uniform-on-sphere, or leave"),
        ({"prior": "uniform-on-sphere"}, "set model.prior=standard-normal, or leave"),
        ({"posterior": "power-spherical", "latent_dim": 1}, "needs model.latent_dim of at least 2"),
        ({"posterior": "logistic-normal", "latent_dim": 1}, "at least 2 components, got 1"),
        ({"posterior": "gumbel-softmax", "latent_dim": 12}, "set model.latent_dim=10"),
        (
            {
                "posterior": "gumbel-softmax",
                "latent_dim": 10,
                "prior": "uniform-categorical",
                "prior_options": {"num_categories": 5},
            },
            "model.prior_options.num_categories=10",
        ),
    ],
)
def test_a_configuration_with_two_spaces_or_a_wrong_size_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        from_settings("custom", {"model": settings})


@pytest.mark.parametrize("change", [{"preset": "iwae"}, {"gradient": "stl"}, {"rate": "monte-carlo"}])
def test_an_objective_that_needs_log_q_of_relaxed_draws_is_refused(change):
    with pytest.raises(ConfigError, match="does not fit posterior 'gumbel-softmax'"):
        from_settings("custom", {"model": {"posterior": "gumbel-softmax", "latent_dim": 10}, "objective": change})


@pytest.mark.parametrize("penalty", OF_SINGLE_LATENTS)
@pytest.mark.parametrize("posterior", ["power-spherical", "gumbel-softmax", "logistic-normal"])
def test_a_penalty_of_single_latents_is_refused_in_other_spaces(penalty, posterior):
    model = {"posterior": posterior, "latent_dim": 10}
    with pytest.raises(ConfigError, match=f"penalty '{penalty}' is of single latents, which must be real numbers"):
        from_settings("custom", {"model": model, "objective": {"penalties": {penalty: 1.0}}})


def test_a_model_of_given_networks_follows_the_posterior_and_refuses_another_space():
    networks = {"encoder": nn.Linear(4, 4), "decoder": nn.Linear(3, 4), "event_shape": (4,), "latent_dim": 3}
    assert lb.VAE(posterior="power-spherical", **networks).config.prior == "uniform-on-sphere"
    with pytest.raises(ConfigError, match=r"set model\.prior=uniform-on-sphere"):
        lb.VAE(posterior="power-spherical", prior="standard-normal", **networks)


def test_a_part_of_ones_own_has_real_latents_unless_it_says_otherwise():
    class Own(POSTERIORS["diagonal-normal"]):
        pass

    assert Own(3).space == REAL


def test_codes_outside_of_a_models_space_are_refused():
    model = small(posterior="power-spherical")
    model.check_codes(model.sample_prior(5, generator(0, "z")))
    with pytest.raises(DataError, match=r"code 0 has length 1\.732; codes on the sphere .* centre, not its mean"):
        model.check_codes(torch.ones(2, 3))
