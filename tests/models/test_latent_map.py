"""What cannot be a map of latents is refused in one line that says what can."""

import pytest

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


def build(**changes):
    config = ModelConfig(**{"network": "conv-map", "channels": (4, 4), "likelihood": "bernoulli"} | changes)
    return build_model(config, (1, 28, 28), generator(0, "weights"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 50}, "map of 7×7 positions .* a multiple of 49, such as 49 or 98"),
        ({"latent_dim": 2}, "a multiple of 49, such as 49"),
        ({"latent_dim": 49, "network": "autoencoder-kl"}, "map of 14×14 positions .* multiple of 196, such as 196"),
        ({"latent_dim": 49, "posterior": "full-normal"}, "those of posterior 'full-normal' are not a number for each"),
        ({"latent_dim": 98, "posterior": "full-normal"}, "those of posterior 'full-normal' are not a number for each"),
        ({"latent_dim": 49, "posterior": "power-spherical"}, "posterior 'power-spherical' are not a number"),
        ({"latent_dim": 49, "posterior": "iaf"}, "posterior 'iaf' are not a number"),
        ({"latent_dim": 49, "posterior": "logistic-normal"}, "posterior 'logistic-normal' are not a number"),
        (
            {"latent_dim": 98, "posterior": "gumbel-softmax", "posterior_options": {"num_categories": 7}},
            "a map of 2 channels has no whole codes of 7 categories .* multiple of 343",
        ),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("posterior", "options", "num_channels"),
    [
        ("low-rank-normal", {"rank": 2}, 1),
        ("iaf", {"context": 49}, 1),
        ("point-mass", {}, 2),
        ("gumbel-softmax", {}, 10),
    ],
)
def test_posteriors_with_a_number_for_each_latent_have_maps(posterior, options, num_channels):
    model = build(latent_dim=49 * num_channels, posterior=posterior, posterior_options=options)
    assert model.latent_shape == (7, 7, num_channels)


def test_other_latents_have_no_shape_but_their_number():
    assert build(network="conv", latent_dim=5).latent_shape == (5,)
