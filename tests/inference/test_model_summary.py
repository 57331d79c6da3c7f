"""The layers of recipes and runs, with their counts."""

import pytest

from lowerbound.foundation.errors import UsageError
from lowerbound.inference.model_summary import summary


def test_the_parameters_of_the_layers_and_of_the_likelihood_are_all_parameters():
    found = summary("dense", "9x5", settings={"model": {"hidden": [4], "latent_dim": 3}})
    assert found.title == "dense: images of 9×5 pixels with 1 channel, 3 latents"
    assert found.num_parameters == sum(layer.num_parameters for layer in [*found.encoder, *found.decoder])


def test_another_size_than_width_and_height_is_refused():
    with pytest.raises(UsageError, match=r"size '9' is not WIDTHxHEIGHT"):
        summary("dense", "9")


@pytest.mark.parametrize("recipe", ["burda-cvae", "m2"])
def test_recipes_that_are_given_labels_have_those_of_digits(recipe):
    assert "given the label, one of 10" in summary(recipe).title


def test_conditions_that_only_data_have_are_refused():
    with pytest.raises(UsageError, match="conditional on 'site', 'age' depend on the data; give a run"):
        summary("dense", settings={"model": {"condition_on": ["site", "age"]}})
