"""The tensors that describe a posterior: mean and log-variance of real latents, parameters in other spaces."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.summaries import summary_of
from small_models import latents_for

NAMES = {
    "point-mass": ["mean"],
    "power-spherical": ["mean_direction", "concentration"],
    "vq": ["code", "indices"],
    "residual-vq": ["code", "indices"],
    "fsq": ["code", "indices"],
    "gumbel-softmax": ["code", "probabilities"],
    "logistic-normal": ["centre", "location", "log_variance"],
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_first_tensor_is_a_code_and_every_one_has_a_row_for_each_example(name):
    posterior = POSTERIORS[name](latents_for(name)).eval()
    q = posterior(torch.randn(5, *posterior.raw_shape, generator=generator(0, "raw")))
    summary = summary_of(q)
    assert list(summary) == NAMES.get(name, ["mean", "log_variance"])
    assert {len(tensor) for tensor in summary.values()} == {5}
    code = next(iter(summary.values()))
    assert_close(code, q.centre)
    assert posterior.space.problem(code) == ""
