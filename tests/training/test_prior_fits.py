"""Priors fitted to codes: what they find is what the codes were drawn from, and a seed decides everything."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.data.batches import scaled
from lowerbound.foundation.errors import ConfigError, DataError, Interrupted
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.training import prior_fits
from lowerbound.training.prior_fits import FITS, Codes, FitConfig, FitProgress, check_fit, draw_codes
from mixtures import mixture


def drawn_codes(num=20_000):
    train, held_out = (mixture()().sample(generator(0, name), num).double() for name in ("train", "held out"))
    return Codes(train, held_out)


INDICES = {"num_codes": 4, "code_dim": 1}


def indices(num):
    """Two indices of which the second is the first or the next one, with equal probability: 3 bits."""
    first, more = (torch.randint(size, (num,), generator=generator(0, f"{size}")) for size in (4, 2))
    drawn = torch.stack([first, (first + more) % 4], 1).double()
    return Codes(drawn[num // 4 :], drawn[: num // 4])


def model(posterior="diagonal-normal", **options):
    config = ModelConfig(hidden=(8,), latent_dim=2, posterior=posterior, posterior_options=options)
    return build_model(config, (1, 6, 5), generator(0, "weights")).eval()


def test_a_mixture_is_recovered_from_its_draws():
    found = FITS["mixture-of-normals"](drawn_codes(), 2, FitConfig(num_components=3), FitProgress())
    order, expected = found.means[:, 0].argsort(), mixture().means[:, 0].argsort()
    assert_close(found().weights[order], mixture()().weights[expected], rtol=0, atol=0.02)
    assert_close(found.means[order], mixture().means[expected], rtol=0, atol=0.1)
    assert_close(found.log_variances[order], mixture().log_variances[expected], rtol=0, atol=0.1)


def test_a_flow_learns_what_it_is_fitted_to(monkeypatch):
    monkeypatch.setattr(prior_fits, "NUM_STEPS", 200)
    codes = drawn_codes(5000)
    found = FITS["flow"](codes, 2, FitConfig(kind="flow"), FitProgress()).requires_grad_(False)
    best = mixture().log_prob(codes.held_out.float()).mean()
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(codes.held_out).sum(-1).mean()
    assert found.log_prob(codes.held_out.float()).mean() > best - 1
    assert best > standard + 2


@pytest.mark.parametrize("kind", FITS)
def test_a_seed_decides_a_fit(monkeypatch, kind):
    monkeypatch.setattr(prior_fits, "NUM_STEPS", 20)
    monkeypatch.setattr(prior_fits, "STEPS_BETWEEN_CHECKS", 10)

    def weights(seed):
        codes, sizes = (indices(500), INDICES) if kind == "autoregressive" else (drawn_codes(500), {})
        fitted = FITS[kind](codes, 2, FitConfig(kind=kind, num_components=4, seed=seed, codes=sizes), FitProgress())
        return torch.cat([value.flatten() for value in fitted.state_dict().values()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_an_autoregressive_prior_learns_how_an_index_depends_on_the_one_before(monkeypatch):
    monkeypatch.setattr(prior_fits, "NUM_STEPS", 150)
    codes = indices(4000)
    found = FITS["autoregressive"](codes, 2, FitConfig(kind="autoregressive", codes=INDICES), FitProgress())
    mean = float(found.log_prob_of_indices(codes.held_out.long()).mean().detach())
    assert mean == pytest.approx(-3 * math.log(2), abs=0.05)


def test_discrete_codes_are_fitted_as_their_indices(splits):
    discrete = model("fsq", levels="5,4")
    codes = draw_codes(discrete, splits.train, generator(0, "codes"))
    assert torch.equal(codes.long(), discrete.encode(scaled(splits.train)).indices)


def test_codes_are_draws_and_not_means(splits):
    codes = draw_codes(model(), splits.train, generator(0, "codes"))
    posterior = model().encode(scaled(splits.train))
    num_draws = len(codes) // len(splits.train)
    assert len(codes) >= 50_000
    aggregate = posterior.variance.mean(0) + posterior.mean.var(0, correction=0)
    assert_close(codes.var(0), aggregate.double(), rtol=0.05, atol=0)
    assert num_draws * len(splits.train) == len(codes)


def test_a_plain_autoencoder_has_one_code_for_each_example(splits):
    codes = draw_codes(model("point-mass"), splits.train, generator(0, "codes"))
    assert_close(codes.float(), model("point-mass").encode(scaled(splits.train)).mean)


def test_codes_that_are_not_finite_are_refused(splits):
    broken = model("point-mass")
    with torch.no_grad():
        next(broken.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(DataError, match="codes contain NaN"):
        draw_codes(broken, splits.train, generator(0, "codes"))


def test_more_components_than_examples_are_refused():
    with pytest.raises(ConfigError, match="44 components cannot be fitted to 43 training examples"):
        check_fit(FitConfig(num_components=44), 43)
    check_fit(FitConfig(kind="flow", num_components=44), 43)


def test_a_flow_stops_when_it_is_asked_to():
    with pytest.raises(Interrupted, match="nothing was written"):
        FITS["flow"](drawn_codes(100), 2, FitConfig(kind="flow"), FitProgress(should_stop=lambda: True))
