"""Priors of codes take the codebook from their model, and the number of codes from its posterior."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.code_priors import UniformCodesPrior

pytestmark = pytest.mark.usefixtures("float64")


def test_a_prior_without_a_model_has_no_codebook():
    with pytest.raises(ConfigError, match="pass it to VAE"):
        UniformCodesPrior(64)()


@pytest.mark.parametrize(
    ("posterior", "options", "prior_options"),
    [
        ("vq", {"num_codes": 7, "code_dim": 2}, {"num_codes": 7, "code_dim": 2}),
        ("fsq", {"levels": "5,3"}, {"num_codes": 15, "code_dim": 2}),
        (
            "residual-vq",
            {"num_codes": 7, "code_dim": 2, "num_codebooks": 3},
            {"num_codes": 7, "code_dim": 2, "num_codebooks": 3},
        ),
    ],
)
def test_draws_are_codes_of_the_model_with_the_rate_of_uniform_ones(posterior, options, prior_options):
    config = ModelConfig(hidden=(4,), latent_dim=4, posterior=posterior, posterior_options=options)
    assert (config.prior, config.prior_options) == ("uniform-codes", prior_options)
    model = build_model(config, (1, 3, 3), generator(0, "weights")).double()
    z = model.sample_prior(20, generator(0, "draws"))
    number = 2 * prior_options.get("num_codebooks", 1)
    assert_close(model.prior.log_prob(z), torch.full((20,), -number * math.log(prior_options["num_codes"])))
    assert len(z.unique(dim=0)) > 10


def test_another_number_of_codes_than_the_posteriors_is_refused():
    with pytest.raises(ConfigError, match=r"model\.prior_options\.num_codes=7"):
        ModelConfig(
            latent_dim=4,
            posterior="vq",
            posterior_options={"num_codes": 7, "code_dim": 2},
            prior="uniform-codes",
            prior_options={"num_codes": 8, "code_dim": 2},
        )
