"""Quantised posteriors: exact codes with straight-through gradients, index round trips, levels, refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.probability.code_posteriors import (
    FiniteScalarPosterior,
    ResidualVectorQuantisedPosterior,
    VectorQuantisedPosterior,
    levels_of,
)
from lowerbound.probability.codes import NOT_A_CODE

pytestmark = pytest.mark.usefixtures("float64")

FAMILIES = {
    "vq": lambda: VectorQuantisedPosterior(12, num_codes=6, code_dim=3),
    "residual-vq": lambda: ResidualVectorQuantisedPosterior(12, num_codes=6, code_dim=3, num_codebooks=3),
    "fsq": lambda: FiniteScalarPosterior(12, levels="2,5,4"),
}
every_family = pytest.mark.parametrize("name", FAMILIES)


def family_of(name):
    family = FAMILIES[name]()
    family.initialise(generator(0, "codebook"))
    return family


def raw(num=50, size=12, seed=0):
    return 2 * torch.randn(num, size, generator=generator(seed, "raw"))


@every_family
def test_indices_and_latents_are_two_names_of_a_code(name):
    family = family_of(name)
    q = family(raw())
    assert torch.equal(family.vectors_of(q.indices).to(q.value), q.value)
    found = family.indices_of(q.value)
    assert (found != NOT_A_CODE).all()
    assert_close(family.vectors_of(found), family.vectors_of(q.indices))
    assert q.indices.shape == (50, family.num_indices)
    assert q.indices.max() < family.num_codes


@every_family
def test_latents_that_are_no_code_have_no_indices(name):
    family = family_of(name)
    z = family(raw()).value.clone()
    z[:, 4] += 0.1
    found = family.indices_of(z).unflatten(-1, (4, -1))
    assert (found[:, 1] == NOT_A_CODE).all()
    assert (found[:, [0, 2, 3]] != NOT_A_CODE).all()
    assert family.problem(z).startswith("code 0 has no vector of the codebook at position 1")
    assert family.problem(family(raw()).value) == ""


@every_family
def test_a_code_quantised_again_is_itself(name):
    if name == "residual-vq":  # a sum of vectors may be nearer to others
        return
    family = family_of(name)
    q = family(raw())
    again = q.value.unflatten(-1, (-1, 3))
    assert torch.equal(family.quantised(again).flatten(-2), q.indices)


@pytest.mark.parametrize("name", ["vq", "residual-vq"])
def test_the_gradient_of_the_code_reaches_the_encoder_unchanged(name):
    family, x = family_of(name), raw(5).requires_grad_()
    weights = torch.randn(5, 12, generator=generator(0, "weights"))
    z = family(x).value
    (gradient,) = torch.autograd.grad((weights * z.sin()).sum(), x)
    assert_close(gradient, weights * z.detach().cos())


def test_the_gradient_of_levels_passes_the_bound_alone():
    family, x = family_of("fsq"), raw(5).requires_grad_()
    (gradient,) = torch.autograd.grad(family(x).value.sum(), x)
    assert_close(gradient, 0.999 * (1 - x.detach().tanh() ** 2))


def test_the_commitment_is_the_weighted_squared_distance_and_the_elbo_does_not_contain_it():
    options = {"num_codes": 6, "code_dim": 2, "commitment_weight": 0.5}
    config = ModelConfig(hidden=(5,), latent_dim=4, posterior="vq", posterior_options=options)
    model = build_model(config, (1, 3, 3), generator(0, "weights")).double()
    x = torch.rand(7, 1, 3, 3, generator=generator(0, "x"))
    samples = model.sample_posterior(x, generator(0, "draws"))
    z_e = model.raw_posterior(x)
    distance = (z_e - samples.z[0]).square().sum(-1)
    loss = Objective()(samples)
    assert_close(loss.rate, torch.full((7,), 2 * math.log(6)))
    assert_close(loss.elbo, samples.log_likelihood[0] - 2 * math.log(6))
    assert_close(loss.value, -(loss.elbo.mean() - 0.5 * distance.mean()))


def test_two_levels_of_each_number_are_sign_bits():
    family, x = FiniteScalarPosterior(12, levels="2,2,2"), raw()
    q = family(x)
    assert torch.equal(q.value, x.sign())
    bits = (x.unflatten(-1, (-1, 3)) > 0).long()
    assert torch.equal(q.indices, (bits * torch.tensor([1, 2, 4])).sum(-1))


@pytest.mark.parametrize("level", [2, 3, 4, 5, 8, 16])
def test_all_levels_are_reached_are_evenly_spaced_and_none_is_beyond_one(level):
    family = FiniteScalarPosterior(1, levels=str(level))
    z = family(torch.linspace(-20, 20, 4001).unsqueeze(-1)).value
    assert_close(z.unique(), torch.linspace(-1, 1, level))
    assert_close(family.vectors_of(torch.arange(level).unsqueeze(-1)).flatten(), torch.linspace(-1, 1, level))


def test_a_residual_code_is_the_sum_of_what_every_codebook_found_nearest():
    family, x = family_of("residual-vq"), raw(3)
    rest, total = x.unflatten(-1, (-1, 3)), 0
    for codebook in family.codebooks:
        chosen = codebook.vectors[torch.cdist(rest, codebook.vectors.expand(3, -1, -1)).argmin(-1)]
        rest, total = rest - chosen, total + chosen
    assert_close(family(x).value, total.flatten(1))


def test_the_start_gives_distinct_points_a_code_each_and_happens_once():
    family = VectorQuantisedPosterior(3, num_codes=5, code_dim=3)
    points = 4 * torch.randn(5, 3, generator=generator(0, "points"))
    family.start(points.repeat(8, 1), generator(0, "start"), 40)
    assert_close(family(points).value, points, atol=1e-6, rtol=0)
    before = family.codebooks[0].vectors.clone()
    family.start(raw(40, 3), generator(0, "start"), 40)
    assert torch.equal(family.codebooks[0].vectors, before)


def test_only_a_step_in_training_moves_the_codebook():
    family = family_of("vq")
    before = family.codebooks[0].vectors.clone()
    family.eval()(raw())
    family.update(generator(0, "update"))
    assert torch.equal(family.codebooks[0].vectors, before)
    family.train()(raw())
    family.update(generator(0, "update"))
    moved = family.codebooks[0].vectors.clone()
    assert not torch.equal(moved, before)
    family.update(generator(0, "update"))  # the batch was used already
    assert torch.equal(family.codebooks[0].vectors, moved)


@pytest.mark.parametrize("text", ["", "8,,5", "8,1", "a", "100,100,100", 8])
def test_levels_that_are_no_numbers_of_levels_are_refused(text):
    with pytest.raises(ConfigError, match=r"model\.posterior_options\.levels"):
        levels_of(text)


@pytest.mark.parametrize(
    ("posterior", "options", "said"),
    [
        ("vq", {"code_dim": 8}, r"multiple of 8, got 12; set model\.latent_dim=16"),
        ("fsq", {"levels": "5,5,5,5,5"}, r"multiple of 5, got 12; set model\.latent_dim=10"),
        ("vq", {"num_codes": 1}, "num_codes"),
        ("residual-vq", {"code_dim": 6, "num_codebooks": 0}, "num_codebooks"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(posterior, options, said):
    with pytest.raises(ConfigError, match=said):
        ModelConfig(latent_dim=12, posterior=posterior, posterior_options=options)


@pytest.mark.parametrize(
    "change", [{"bound": "iwae", "rate": "monte-carlo", "num_samples": 5}, {"gradient": "score-function"}]
)
def test_objectives_that_need_different_draws_are_refused(change):
    from lowerbound.models.families import Families

    config = ModelConfig(latent_dim=12, posterior="fsq", posterior_options={"levels": "2,5,4"})
    with pytest.raises(ConfigError, match="all draws are equal"):
        Objective(**change).fitted_to(Families.of_config(config))
