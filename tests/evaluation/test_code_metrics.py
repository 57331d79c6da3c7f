"""The use of codes in results and in the diagnosis."""

import numpy as np
import pytest

from lowerbound.data.examples import Examples
from lowerbound.evaluation.checklist import checked
from lowerbound.evaluation.code_metrics import measure_code_use
from lowerbound.evaluation.diagnosis import diagnose
from lowerbound.evaluation.health import HealthMetrics
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


def model_of(posterior="fsq", **options):
    config = ModelConfig(hidden=(8,), latent_dim=4, posterior=posterior, posterior_options=options)
    return build_model(config, (1, 4, 4), generator(0, "weights")).eval()


def examples(num=30):
    return Examples(np.random.default_rng(0).integers(0, 256, (num, 4, 4, 1), np.uint8), 255.0)


def test_the_use_of_codes_is_that_of_their_indices():
    model, x = model_of(levels="3,3"), examples()
    use = measure_code_use(model, x)
    (batch,) = x.values[None] / np.float32(255)
    from torch import from_numpy

    indices = model.encode(from_numpy(batch).permute(0, 3, 1, 2)).indices.flatten()
    shares = np.bincount(indices.numpy()) / indices.numel()
    shares = shares[shares > 0]
    assert use.share == pytest.approx(len(shares) / 9)
    assert use.perplexity == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_models_of_other_latents_have_no_use_of_codes():
    assert measure_code_use(model_of("diagonal-normal"), examples()) is None


@pytest.mark.parametrize(("posterior", "remedy"), [("vq", "least_use=0.3"), ("fsq", "fewer levels")])
def test_a_codebook_that_is_mostly_unused_is_found_and_one_that_is_used_is_not(posterior, remedy):
    settings = {"model.posterior": posterior}
    (finding,) = diagnose(HealthMetrics(code_use=0.2, has_real_latents=False, settings=settings))
    assert finding.name == "unused codes"
    assert remedy in finding.remedy
    assert diagnose(HealthMetrics(code_use=0.6, has_real_latents=False)) == ()
    (outcome,) = (one for one in checked(HealthMetrics(code_use=0.6)) if one.name == "unused codes")
    assert outcome.number == pytest.approx(60)
