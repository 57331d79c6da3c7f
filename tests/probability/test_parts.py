"""Parts know the options that they were built with, and tables name them."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.probability.likelihoods import LIKELIHOODS, GaussianLikelihood
from lowerbound.probability.parts import (
    OWN,
    Part,
    add_row,
    check_options,
    name_of,
    option_checks,
    option_parameters,
    plain_options,
    register,
)
from lowerbound.probability.priors import PRIORS, MixtureOfNormalsPrior, StandardNormalPrior


class Scaled(Part):
    def __init__(self, shape, scale: float = 1.0, levels: int = 3, is_open: bool = False, name: str = "x", more=None):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))


@pytest.mark.parametrize("copied", [lambda part: part, deepcopy])
def test_a_part_knows_its_options_whether_they_were_named_or_not(copied):
    part = copied(Scaled((2,), 0.5, is_open=True))
    assert part.options == {"scale": 0.5, "levels": 3, "is_open": True, "name": "x", "more": None}
    assert plain_options(part).keys() == {"scale", "levels", "is_open", "name"}


def test_the_options_of_a_part_are_the_arguments_with_a_default():
    assert option_parameters(GaussianLikelihood).keys() == {"sigma", "learn_sigma", "mean_map"}
    assert option_checks(MixtureOfNormalsPrior).keys() == {"num_components"}
    assert option_checks(StandardNormalPrior) == {}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scal": 1.0}, UnknownName, "unknown option of prior 'scaled' 'scal'.*scale"),
        ({"scale": "wide"}, ConfigError, r"model\.prior_options\.scale needs a number, got 'wide'"),
        ({"scale": True}, ConfigError, r"model\.prior_options\.scale needs a number, got True"),
        ({"levels": 2.5}, ConfigError, r"model\.prior_options\.levels needs a whole number, got 2\.5"),
        ({"is_open": 1}, ConfigError, r"model\.prior_options\.is_open needs true or false, got 1"),
        ({"name": 1}, ConfigError, r"model\.prior_options\.name needs a string, got 1"),
    ],
)
def test_options_are_checked_by_the_type_of_their_default(options, error, message):
    with pytest.raises(error, match=message):
        check_options("prior", "scaled", Scaled, options)


def test_a_derived_class_has_not_the_name_of_its_base():
    class Narrower(GaussianLikelihood):
        pass

    assert name_of(LIKELIHOODS, GaussianLikelihood((2,))) == "gaussian"
    assert name_of(LIKELIHOODS, Narrower((2,))) == OWN


def test_a_name_is_registered_once_and_again_by_the_same_class():
    table = dict(PRIORS)

    def define():
        class Again(StandardNormalPrior):
            pass

        return Again

    first, redefined = define(), define()
    register("prior", table, StandardNormalPrior, "again", first)
    register("prior", table, StandardNormalPrior, "again", redefined)  # a cell of a notebook that was run twice
    assert table["again"] is redefined
    for name, part, message in (
        ("again", MixtureOfNormalsPrior, "a prior must be a class derived from StandardNormalPrior"),
        ("standard-normal", redefined, "the prior 'standard-normal' already exists"),
        (OWN, redefined, "the prior 'own' already exists"),
        ("", redefined, "needs at least one character"),
        (" again", redefined, "no spaces around it"),
        ("auto", redefined, "cannot be called 'auto', which leaves the choice to the data"),
    ):
        with pytest.raises(ConfigError, match=message):
            register("prior", table, StandardNormalPrior, name, part)


def test_a_name_is_text(unchecked):
    with pytest.raises(ConfigError, match="the name of a prior needs to be text, got 3"):
        add_row("prior", dict(PRIORS), 3, MixtureOfNormalsPrior)
