"""log p(x) by enumeration: it is the sum over codes, the ELBO is below it, and too many codes are refused."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.evaluation.enumeration import enumerated_evidence, why_not_enumerated
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.terms import estimate_terms

AUTOREGRESSIVE = {"prior": "autoregressive", "prior_options": {"num_codes": 6, "code_dim": 2, "hidden": 32}}
CASES = {
    "fsq": {"latent_dim": 4, "posterior": "fsq", "posterior_options": {"levels": "2,3"}},
    "learned prior": {
        "latent_dim": 4,
        "posterior": "fsq",
        "posterior_options": {"levels": "2,3"},
        **AUTOREGRESSIVE,
    },
    "vq": {"latent_dim": 6, "posterior": "vq", "posterior_options": {"num_codes": 5, "code_dim": 2}},
    "residual-vq": {
        "latent_dim": 2,
        "posterior": "residual-vq",
        "posterior_options": {"num_codes": 5, "code_dim": 2, "num_codebooks": 3},
    },
    "one-hot": {"latent_dim": 10, "posterior": "gumbel-softmax"},
}


def model_of(**settings):
    model = build_model(ModelConfig(hidden=(8,), **settings), (1, 4, 4), generator(0, "weights")).eval()
    for parameter in model.prior.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator(0, "shifts"))
    return model


@pytest.fixture
def examples():
    return Examples(255 * np.random.default_rng(0).integers(0, 2, (12, 4, 4, 1), np.uint8), 255.0)


@pytest.mark.parametrize("case", CASES)
def test_the_elbo_is_below_the_sum_over_all_codes(case, examples):
    model = model_of(**CASES[case])
    evidence = enumerated_evidence(model, examples)
    x = scaled(examples)
    terms = estimate_terms(model, x, content_noise(x, 0, "test"), 200)
    assert (terms.elbo - 4 * terms.elbo_standard_error.nan_to_num() <= evidence + 1e-6).all()
    assert (evidence < 0).all()


def test_the_evidence_of_one_position_is_the_mean_probability_over_its_codes(examples):
    model = model_of(latent_dim=2, posterior="vq", posterior_options={"num_codes": 5, "code_dim": 2})
    x, vectors = scaled(examples), model.posterior.codebooks[0].vectors
    each = torch.stack([model.decode(z.expand(len(x), -1)).log_prob(x) for z in vectors])
    assert_close(enumerated_evidence(model, examples), each.logsumexp(0) - math.log(5), atol=1e-4, rtol=0)


def test_too_many_codes_and_real_latents_are_refused(examples):
    model = model_of(latent_dim=10, posterior="fsq", posterior_options={"levels": "8,8"})
    with pytest.raises(ConfigError, match=r"at most 4,096 codes, but the model has 64\^5"):
        enumerated_evidence(model, examples)
    assert why_not_enumerated(model_of(latent_dim=2)) == "needs discrete codes"
