"""The families of a configuration are those of its model; which of them have a closed-form KL."""

import pytest

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.families import Families
from lowerbound.probability.posteriors import POSTERIORS
from small_models import latents_for


@pytest.mark.parametrize(
    ("posterior", "prior", "known"),
    [
        ("diagonal-normal", "standard-normal", True),
        ("full-normal", "standard-normal", True),
        ("diagonal-normal", "mixture-of-normals", False),
        ("diagonal-normal", "vamp", False),
        ("iaf", "standard-normal", False),
        ("low-rank-normal", "standard-normal", True),
        ("power-spherical", "uniform-on-sphere", True),
        ("gumbel-softmax", "uniform-categorical", True),
        ("logistic-normal", "logistic-normal", True),
        ("point-mass", "standard-normal", False),
    ],
)
def test_whether_the_kl_is_known_depends_on_the_pair(posterior, prior, known):
    assert Families.of_config(ModelConfig(posterior=posterior, prior=prior, latent_dim=100)).has_closed_form_kl is known


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_configuration_has_the_families_of_its_model(posterior):
    config = ModelConfig(hidden=(3,), latent_dim=latents_for(posterior, 10), posterior=posterior)
    of_model = Families.of_model(build_model(config, (1, 2, 2), generator(0, "weights")).eval())
    of_config = Families.of_config(config)
    assert type(of_model.of_posterior) is type(of_config.of_posterior)
    assert type(of_model.of_prior) is type(of_config.of_prior)
    assert of_model.has_elementwise_kl == of_config.has_elementwise_kl == (posterior == "diagonal-normal")


def test_parts_of_your_own_are_known_only_from_their_model():
    assert Families.of_config(ModelConfig(network="own", prior="own")) is None
