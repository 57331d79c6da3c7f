"""Parts of your own that return something else than log-densities are refused by name when a model is built."""

from dataclasses import dataclass

import pytest
import torch

from lowerbound.foundation.errors import ConfigError
from lowerbound.models.part_checks import check_own_parts
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.likelihoods import BernoulliLikelihood, register_likelihood
from lowerbound.probability.posteriors import DiagonalNormalPosterior
from lowerbound.probability.priors import StandardNormalPrior

WRONG = {
    "numpy": (lambda found: found.numpy(), "a numpy.ndarray"),
    "number": (lambda found: float(found.sum()), "a float"),
    "nothing": (lambda found: None, "a NoneType"),
    "sum": (lambda found: found.sum(), r"a tensor of float64 \(a single number\)"),
    "elements": (lambda found: found[..., None].expand(3, 2, 4), r"a tensor of float64 \(3×2×4\)"),
    "whole": (lambda found: found.long(), r"a tensor of int64 \(3×2\)"),
}


@dataclass(frozen=True, eq=False)
class Changed(DiagonalNormal):
    """A normal whose log-densities are made into something else."""

    change: object = None

    def log_prob(self, value):
        return self.change(super().log_prob(value))


def normal(change, mean, event_ndim=1):
    return Changed(mean, torch.zeros_like(mean), event_ndim=event_ndim, change=change)


def parts(change=lambda found: found):
    class OwnLikelihood(Likelihood):
        def forward(self, raw):
            return normal(change, raw)

        def raw_of_mean(self, mean):
            return mean

        def convention(self, support):
            return "density"

    class OwnPosterior(DiagonalNormalPosterior):
        def forward(self, raw):
            return normal(change, raw[..., : self.latent_dim])

    class OwnPrior(StandardNormalPrior):
        def forward(self):
            return normal(change, torch.zeros(self.latent_dim))

    return {"likelihood": OwnLikelihood((4,)), "posterior": OwnPosterior(2), "prior": OwnPrior(2)}


SHIPPED = {
    "likelihood": BernoulliLikelihood((4,)),
    "posterior": DiagonalNormalPosterior(2),
    "prior": StandardNormalPrior(2),
}


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_log_density_of_a_wrong_kind_or_shape_is_refused_with_what_is_expected(kind, wrong):
    change, described = WRONG[wrong]
    says = rf"{kind} Own\w+: log_prob of Changed returned {described} for 3 draws .* tensor of floats of shape 3×2: "
    with pytest.raises(ConfigError, match=says):
        check_own_parts(**{**SHIPPED, kind: parts(change)[kind]})


def test_sound_parts_pass():
    check_own_parts(**parts())


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (
            lambda self, raw: torch.distributions.Normal(raw, 1.0),
            "returned a torch.distributions.normal.Normal; ",
        ),
        (lambda self, raw: raw.nothing, r"forward failed for an input of zeros \(AttributeError: "),
    ],
)
def test_anything_but_a_distribution_is_refused(forward, says):
    own = type(parts()["likelihood"])
    with pytest.raises(ConfigError, match=says):
        check_own_parts(**{**SHIPPED, "likelihood": type("Own", (own,), {"forward": forward})((4,))})


def test_a_class_that_lacks_methods_is_refused_when_it_is_registered_and_when_it_is_built():
    class Incomplete(Likelihood):
        def forward(self, raw):
            return normal(None, raw)

    for use in (lambda: register_likelihood("incomplete", Incomplete), lambda: Incomplete((4,))):
        with pytest.raises(ConfigError, match="Incomplete is not complete: it needs convention, raw_of_mean"):
            use()
