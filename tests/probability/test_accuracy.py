"""In float32 every density, of every accepted value at every raw output, is that of mpmath at fifty digits.

To a thousandth of a nat, or to 1e-5 of the density where that is large. A new entry in LIKELIHOODS needs its formula in
CASES, written from the textbook and not from the code.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mpmath
import pytest
import torch

from lowerbound.foundation.schema import LARGEST_COUNT, Column
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import Bernoulli, DiagonalNormal
from lowerbound.probability.kl import elementwise_kl, kl_divergence
from lowerbound.probability.likelihood import LOG_R_RANGE
from lowerbound.probability.likelihoods import LIKELIHOODS, LOG_SCALE_RANGE, MAX_LOG_VARIANCE, MIN_SIGMA
from lowerbound.probability.posteriors import LOG_VARIANCE_BOUND, POSTERIORS

mp = mpmath.mp
RAW = (-1e4, -50.0, -15.1, -3.0, -0.0501, -1e-3, 1e-6, 0.0499, 0.7, 8.3, 14.9, 16.5, 40.0, 1e4)
"""Raw outputs of a decoder."""
FEW = (-1e3, -3.0, 0.01, 0.7, 16.5, 1e3)
SHARES = (0.0, 1e-7, 1 / 255, 0.3, 0.5, 254 / 255, 1 - 2**-24, 1.0)
NUMBERS = (-9e17, -3e4, -1.0, 0.0, 1e-3, 0.5, 7.0, 1e8, 9e17)
NEAR = (1000.25, 1000.2501, 998.0, 1e4, -1e8, 9e17)  # of a location of 1000.25
FLOAT32 = torch.finfo(torch.float32).max
COUNTS = (0.0, 1.0, 5.0, 1000.0, 1e5, 3e6, float(LARGEST_COUNT))


@dataclass(frozen=True)
class Case:
    """A likelihood of one element, its values, its raw outputs, and log p by the textbook."""

    name: str
    values: tuple[float, ...]
    raws: list[tuple[float, ...]]
    formula: Callable[..., Any]  # of the value and each raw output
    options: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Any], None] = lambda likelihood: None
    slope_error: float = 1e-3  # that a gradient may have

    def __str__(self):
        return f"{self.name} {self.options or ''}"


def exact(value):
    return mp.mpf(float(value))


def normal(x, mean, log_variance):
    return -(mp.log(2 * mp.pi) + log_variance + (x - mean) ** 2 * mp.exp(-log_variance)) / 2


def sigmoid(t):
    return 1 / (1 + mp.exp(-t)) if t > 0 else mp.exp(t) / (1 + mp.exp(t))


def gaussian(sigma, mean_map=lambda raw: raw):
    return lambda x, raw: normal(x, mean_map(raw), 2 * mp.log(exact(sigma)))


def bernoulli(x, t):
    return (x - (t > 0)) * t - mp.log1p(mp.exp(-abs(t)))


def continuous_bernoulli(x, t):
    return x * t - mp.log(mp.expm1(t) / t)


def poisson(x, raw):
    log_rate = min(raw, mp.log(LARGEST_COUNT))
    return x * log_rate - mp.exp(log_rate) - mp.loggamma(x + 1)


def negative_binomial(log_r):
    r = mp.exp(exact(min(max(log_r, LOG_R_RANGE[0]), LOG_R_RANGE[1])))

    def formula(x, raw):
        mean = mp.exp(min(raw, mp.log(LARGEST_COUNT)))
        ways = mp.loggamma(x + r) - mp.loggamma(r) - mp.loggamma(x + 1)
        return ways + r * mp.log(r / (r + mean)) + x * mp.log(mean / (r + mean))

    return formula


def logistic(x, num_levels, location, raw_scale):
    low, high = (end - mp.log(num_levels - 1) for end in LOG_SCALE_RANGE)
    scale = mp.exp(min(max(raw_scale - mp.log(10), low), high))
    half, level = exact(0.5) / (num_levels - 1), mp.nint(x * (num_levels - 1))
    distance = level / (num_levels - 1) - location - exact(0.5)
    ends = (distance - half) / scale, (distance + half) / scale
    if distance > 0:  # from the side where the tail is: 1 - 1e-60 has no fifty digits
        ends, level = (-ends[1], -ends[0]), num_levels - 1 - level
    below = 0 if level == 0 else sigmoid(ends[0])
    above = 1 if level == num_levels - 1 else sigmoid(ends[1])
    return above - below


def discretized_logistic(num_levels, num_components=1):
    def formula(x, *raw):
        locations, scales, weights = (raw[k * num_components : (k + 1) * num_components] for k in range(3))
        masses = [logistic(x, num_levels, *of_one) for of_one in zip(locations, scales, strict=True)]
        if num_components == 1:
            return mp.log(masses[0])
        shares = [mp.exp(weight) for weight in weights]
        return mp.log(sum(w * mass for w, mass in zip(shares, masses, strict=True)) / sum(shares))

    return formula


def levels(num_levels, *which):
    return tuple(level / (num_levels - 1) for level in which)


def categorical(num_levels):
    def formula(x, *raw):
        greatest = max(raw)
        total = sum(mp.exp(t - greatest) for t in raw)
        return raw[int(mp.nint(x * (num_levels - 1)))] - greatest - mp.log(total)

    return formula


def located(likelihood):
    shape = likelihood.event_shape
    likelihood.standardise(torch.full(shape, 1000.25), torch.full(shape, 0.75))


def with_log_r(log_r):
    return lambda likelihood: torch.nn.init.constant_(likelihood.log_r, log_r)


def per_element(x, mean, log_variance):
    kept = min(max(log_variance, 2 * mp.log(MIN_SIGMA)), MAX_LOG_VARIANCE)
    return normal((x - exact(1000.25)) / exact(0.75), mean, kept) - mp.log(exact(0.75))


def column(kind, levels=()):
    return {"columns": (Column(name="x", kind=kind, levels=levels),)}


def narrow(likelihood):
    located(likelihood)
    torch.nn.init.constant_(likelihood.log_sigma, math.log(2e-3))


def narrow_number(x, raw):
    log_variance = 2 * exact(torch.tensor(math.log(2e-3)))
    return normal((x - exact(1000.25)) / exact(0.75), raw, log_variance) - mp.log(exact(0.75))


one = [(raw,) for raw in RAW]
pairs = list(itertools.product(FEW, (-20.0, -7.3, 0.0, 5.5)))
at_an_edge = list(itertools.product((100.5 / 255 - 0.5, 153.5 / 255 - 0.5), (-20.0, -7.3, 5.5)))
corners = list(itertools.product((-1e4, 0.3), (0.0, 88.0), (0.1, 1e4)))
CASES = [
    Case("bernoulli", SHARES, one, bernoulli),
    Case("continuous-bernoulli", SHARES, one, continuous_bernoulli),
    Case("gaussian", NUMBERS, one, gaussian(1.0)),
    Case("gaussian", NUMBERS, one, gaussian(MIN_SIGMA), {"sigma": MIN_SIGMA}),
    Case("gaussian", NUMBERS, one, gaussian(1e5), {"sigma": 1e5, "learn_sigma": True}),
    Case("gaussian", SHARES, one, gaussian(MIN_SIGMA, sigmoid), {"sigma": MIN_SIGMA, "mean_map": "sigmoid"},
         slope_error=0.1),  # 1/σ² is a million, and 1 - sigmoid(16) a rounding error,
    Case("gaussian-per-element", NEAR, pairs, per_element, prepare=located),
    Case("poisson", COUNTS, one, poisson),
    *(Case("negative-binomial", COUNTS, one, negative_binomial(r), prepare=with_log_r(r)) for r in (-7.5, 0, 5, 9.5)),
    Case("discretized-logistic", levels(256, 0, 1, 100, 153, 254, 255), pairs + at_an_edge, discretized_logistic(256)),
    Case("discretized-logistic", levels(2, 0, 1), pairs, discretized_logistic(2), {"num_levels": 2}),
    Case("discretized-logistic", levels(65536, 0, 777, 65535), pairs, discretized_logistic(65536),
         {"num_levels": 65536}),
    Case(
        "discretized-logistic",
        levels(256, 0, 101, 255),
        [(a, b, *scales, *weights) for a, b in ((-0.1, 0.1), (0.3, -200.0)) for scales in ((-9.0, 0.3), (2.0, -4.0))
         for weights in ((0.0, 0.0), (-90.0, 90.0))],
        discretized_logistic(256, 2),
        {"num_components": 2},
    ),
    Case("categorical", levels(3, 0, 1, 2), corners, categorical(3),
         {"num_levels": 3}),
    Case("table", NEAR, one, narrow_number, column("numeric"), narrow),
    Case("table", COUNTS, one, negative_binomial(2.0), column("count"), with_log_r(2.0)),
    Case("table", (0.0, 1.0), one, bernoulli, column("binary", ("no", "yes"))),
    Case("table", (0.0, 1.0, 2.0), corners,
         lambda x, *raw: categorical(3)(x / 2, *raw), column("categorical", ("a", "b", "c"))),
]  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def made(case):
    """The likelihood of one element, its values and its raw outputs in float32."""
    likelihood = LIKELIHOODS[case.name]((1,), **case.options)
    case.prepare(likelihood)
    return likelihood, torch.tensor(case.values).unsqueeze(-1), torch.tensor(case.raws)


def assert_exact(found, expected, atol=1e-3):
    """To a thousandth of a nat or to a hundred-thousandth."""
    expected = torch.tensor([float(value) for value in expected], dtype=torch.float64).reshape(found.shape)
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=atol)


def test_every_likelihood_has_a_case():
    assert {case.name for case in CASES} == set(LIKELIHOODS)


@every_case
def test_log_densities_in_float32_are_exact_over_all_that_is_accepted(case):
    likelihood, x, raw = made(case)
    assert likelihood.admits(x, is_binary=False).all()
    raws = [tuple(exact(part) for part in row) for row in raw]
    expected = [case.formula(exact(value), *row) for value in x for row in raws]
    with torch.no_grad():
        p = likelihood(raw)
        assert_exact(p.log_prob(x.unsqueeze(1)), expected)
        assert_exact(p.log_prob_table(x), expected)


@every_case
def test_gradients_in_float32_are_exact_over_all_that_is_accepted(case):
    likelihood, x, raw = made(case)
    raw = raw.expand(len(x), *raw.shape).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(raw).log_prob(x.unsqueeze(1)).sum(), raw)
    assert gradient.dtype == torch.float32
    gradient = gradient.clamp(-FLOAT32, FLOAT32)  # to which what is beyond float32 is compared
    expected = []
    for value, row in itertools.product(x, case.raws):
        point = [exact(torch.tensor(part)) for part in row]
        for place in range(len(row)):

            def along(step, value=value, point=point, place=place):
                return case.formula(exact(value), *point[:place], point[place] + step, *point[place + 1 :])

            step = mp.mpf("1e-15")
            slope = (along(step) - along(-step)) / (2 * step)
            expected.append(min(max(slope, -FLOAT32), FLOAT32))
    assert_exact(gradient, expected, case.slope_error)


# ---- whole events


@pytest.mark.parametrize("num_elements", [784, 196_608])
@pytest.mark.parametrize("name", ["bernoulli", "continuous-bernoulli", "gaussian", "discretized-logistic", "poisson"])
def test_sums_over_an_image_keep_a_thousandth_of_a_nat(name, num_elements):
    likelihood = LIKELIHOODS[name]((num_elements,))
    raw = 6 * torch.randn(2, *likelihood.raw_shape, generator=generator(0, "raw"))
    if name == "discretized-logistic":
        raw = raw / 40  # of which the sums are far from those of any image
    x = (torch.rand(3, num_elements, generator=generator(0, "x")) * 255).round() / 255
    x = 255 * x if name == "poisson" else x
    exactly = likelihood.double()(raw.double()).log_prob(x.double().unsqueeze(1))
    for found in (likelihood.float()(raw).log_prob(x.unsqueeze(1)), likelihood(raw).log_prob_table(x)):
        torch.testing.assert_close(found, exactly, rtol=2e-9, atol=1e-3)


def test_logits_that_fit_an_image_do_not_cancel_in_a_table():
    x = torch.rand(3, 784, generator=generator(0, "x")).round()
    logits = 300 * (x - 0.5)
    table = Bernoulli(logits).log_prob_table(x)
    exactly = Bernoulli(logits.double()).log_prob(x.double().unsqueeze(1))
    torch.testing.assert_close(table, exactly, rtol=1e-9, atol=1e-3)


# ---- the latent side


MEANS = (-1e6, -3.7, 0.0, 1e-4, 2.5, 1e6)
LOG_VARIANCES = (-40.0, -LOG_VARIANCE_BOUND, -2.0, -1e-4, 0.0, 1e-5, 3.0, LOG_VARIANCE_BOUND, 40.0)


def bounded(log_variance):
    return exact(min(max(log_variance, -LOG_VARIANCE_BOUND), LOG_VARIANCE_BOUND))


def posteriors():
    heads = torch.tensor(list(itertools.product(MEANS, LOG_VARIANCES)))
    return POSTERIORS["diagonal-normal"](heads.shape[-1] // 2)(heads), heads.tolist()


def test_posterior_densities_in_float32_are_exact():
    q, heads = posteriors()
    for offset in (-40.0, 0.0, 1e-3, 1.0):
        z = q.mean + offset * q.standard_deviation
        expected = [
            normal(exact(value), exact(mean), bounded(log_variance))
            for value, (mean, log_variance) in zip(z, heads, strict=True)
        ]
        assert_exact(q.log_prob(z), expected)
        assert_exact(q.log_prob_table(z).diagonal(), expected)


def test_prior_densities_and_divergences_in_float32_are_exact():
    q, heads = posteriors()
    prior = DiagonalNormal(torch.zeros(1), torch.zeros(1))
    assert_exact(prior.log_prob(q.mean), [normal(exact(mean), 0, 0) for mean, _ in heads])
    expected = [
        (mp.exp(bounded(log_variance)) + exact(torch.tensor(mean)) ** 2 - 1 - bounded(log_variance)) / 2
        for mean, log_variance in heads
    ]
    assert_exact(kl_divergence(q, prior), expected)
    assert_exact(elementwise_kl(q, prior)[:, 0], expected)
