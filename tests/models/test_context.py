"""The context of a conditional model: its features, what is refused, and a model whose log p(x|y) is known exactly."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from lowerbound.data.synthetic import orthogonal_linear_gaussian
from lowerbound.evaluation.importance import log_weights
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.context import ContextEncoding
from lowerbound.objectives.objective import Objective

LABEL = Column(name="label", kind="categorical", levels=("a", "b", "c"))
AGE = Column(name="age", kind="numeric")
SIGMA, DIMENSION, LATENTS = 0.7, 5, 2


def config(**settings):
    gaussian = {"likelihood": "gaussian", "likelihood_options": {"sigma": SIGMA}}
    return ModelConfig(hidden=(), latent_dim=LATENTS, condition_on=("label",), **gaussian, **settings)


def test_features_are_one_hot_codes_and_standardised_numbers():
    encoding = ContextEncoding([LABEL, AGE])
    context = torch.tensor([[0.0, 10.0], [2.0, 20.0], [1.0, 60.0]])
    encoding.standardise(context)
    features = encoding(context)
    assert encoding.num_features == 4
    assert_close(features[:, :3], torch.eye(3)[[0, 2, 1]])
    assert_close(features[:, 3], (context[:, 1] - 30) / context[:, 1].std(correction=0))


def test_a_number_that_does_not_vary_is_only_centred():
    encoding = ContextEncoding([AGE])
    encoding.standardise(torch.full((4,), 3.0))
    assert_close(encoding(torch.tensor([3.0, 5.0])), torch.tensor([[0.0], [2.0]]))


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ([[3.0, 0.0]], r"has 3 for 'label'; accepted: 0 to 2, the positions of 3 levels \(a, b, c\)"),
        ([[0.5, 0.0]], "has 0.5 for 'label'"),
        ([[0.0, math.nan]], "has nan for 'age'; accepted: finite numbers"),
        ([[0.0]], r"has the shape \(1, 1\); accepted: one number of each example for 'label', 'age'"),
        ([0.0], r"has the shape \(1,\)"),
    ],
)
def test_a_context_that_no_example_can_have_is_refused(context, message):
    with pytest.raises(DataError, match=message):
        ContextEncoding([LABEL, AGE]).check(torch.tensor(context))


def exact():
    """A conditional linear Gaussian model with p(z|y), its exact posterior, and log p(x|y) as a function of x and y."""
    data = orthogonal_linear_gaussian(DIMENSION, LATENTS, SIGMA, generator(0, "data"))
    stream = generator(1, "shifts")
    shift = torch.randn(3, DIMENSION, generator=stream, dtype=torch.float64)
    centre = torch.randn(3, LATENTS, generator=stream, dtype=torch.float64)
    log_variance = 0.5 * torch.randn(3, LATENTS, generator=stream, dtype=torch.float64)
    model = build_model(
        config(prior="conditional-normal"), (DIMENSION,), generator(0, "weights"), conditions=[LABEL]
    ).double()
    with torch.no_grad():
        model.likelihood.log_sigma.fill_(math.log(SIGMA))
        model.decoder.network.output.weight.copy_(torch.cat([data.weight, shift.T], 1))
        model.decoder.network.output.bias.copy_(data.bias)
        model.prior.parameters_of.weight.copy_(torch.cat([centre, log_variance], 1).T)
        model.prior.parameters_of.bias.zero_()
    return model.eval(), data, shift, centre, log_variance


def posterior_of(data, shift, centre, log_variance, x, y):
    """Mean and log-variance of p(z|x, y), by the product of normals: columns of the weight are orthogonal."""
    precision = (data.weight**2).sum(0) / SIGMA**2 + torch.exp(-log_variance[y])
    towards = (x - data.bias - shift[y]) @ data.weight / SIGMA**2 + centre[y] * torch.exp(-log_variance[y])
    return towards / precision, -precision.log()


def test_with_the_exact_posterior_every_bound_is_log_p_of_x_given_y():
    model, data, shift, centre, log_variance = exact()
    y = torch.tensor([0, 2, 1, 1])
    x = data.sample(len(y), generator(2, "x"))
    mean, log_var = posterior_of(data, shift, centre, log_variance, x, y)
    raw = torch.cat([mean, log_var], 1)
    given = model.given(y)
    given.encoder.forward = lambda features, context: raw  # each y has another variance, which no linear map has
    expected = torch.stack(
        [
            MultivariateNormal(
                data.bias + shift[label] + data.weight @ centre[label],
                data.weight @ torch.diag(log_variance[label].exp()) @ data.weight.T
                + SIGMA**2 * torch.eye(DIMENSION, dtype=torch.float64),
            ).log_prob(one)
            for one, label in zip(x, y, strict=True)
        ]
    )
    samples = given.sample_posterior(x, generator(3, "noise"), 7)
    assert_close(samples.log_weight, expected.expand(7, -1), rtol=0, atol=1e-9)
    weights = log_weights(given, x, 5, generator(4, "noise"), 2)
    assert_close(weights, expected.expand(5, -1), rtol=0, atol=1e-9)
    # The rate in closed form, and the mean over draws of log p(x|z, y), add up to it in expectation.
    loss = Objective(rate="analytic", num_samples=4000)(given.sample_posterior(x, generator(5, "noise"), 4000))
    assert_close(loss.elbo.double(), expected, rtol=0, atol=0.2)


def test_log_p_differs_where_the_labels_do():
    model, data, *_ = exact()
    x = data.sample(3, generator(2, "x"))
    of_a, of_b = (model.given(torch.full((3,), label)) for label in (0, 1))
    z = torch.zeros(3, LATENTS, dtype=torch.float64)
    assert not torch.allclose(of_a.decode(z).log_prob(x), of_b.decode(z).log_prob(x))
    assert not torch.allclose(of_a.log_joint(x, z), of_b.log_joint(x, z))


def test_rows_of_a_context_are_those_of_the_examples():
    model = exact()[0].given(torch.tensor([0, 1, 2, 0]))
    z = torch.randn(4, LATENTS, generator=generator(0, "z"), dtype=torch.float64)
    rows = torch.tensor([3, 1])
    assert_close(model.at_rows(rows).decode(z[rows]).mean, model.decode(z).mean[rows])
    assert_close(model.at_rows(rows).prior().mean, model.prior().mean[rows])


def test_draws_from_a_conditional_prior_follow_their_own_row_and_do_not_depend_on_how_many_follow():
    model, *_, centre, log_variance = exact()
    y = torch.tensor([0, 1, 2]).repeat_interleave(4000)
    z = model.given(y).sample_prior(len(y), generator(0, "z"))
    for label in range(3):
        own = z[y == label]
        assert_close(own.mean(0), centre[label], rtol=0, atol=0.1)
        assert_close(own.var(0).log(), log_variance[label], rtol=0, atol=0.1)
    first = model.given(y[:5]).sample_prior(5, generator(0, "z"))
    assert torch.equal(first, z[:5])
    cold = model.given(y[:5]).sample_prior(5, generator(0, "z"), temperature=0.0)
    assert_close(cold, centre[y[:5]])


def test_a_prior_given_y_needs_conditions():
    with pytest.raises(
        ConfigError, match=r"model.prior 'conditional-normal' is p\(z\|y\), and the model is given no y"
    ):
        ModelConfig(prior="conditional-normal")


def test_conditions_are_named_once_and_have_a_column_each():
    with pytest.raises(ConfigError, match="name each condition once"):
        ModelConfig(condition_on=("label", "label"))
    with pytest.raises(ConfigError, match="names 1 condition, and the data's schema has 0"):
        build_model(config(), (DIMENSION,), generator(0, "weights"))
