"""check_own_parts: likelihoods, posteriors and priors of your own are tried once, when a model is built.

What they return is checked with two examples and three draws, so that a wrong kind or shape is refused by name, before
training fails somewhere else.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data.reading import format_shape
from lowerbound.foundation.errors import ConfigError, in_one_line
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.parts import Part
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.prior import Prior

NUM_DRAWS, NUM_EXAMPLES = 3, 2
SHIPPED = __name__.partition(".")[0]
"""The package whose parts its own tests try."""


@torch.no_grad()
def check_own_parts(likelihood: Likelihood, posterior: Posterior, prior: Prior) -> None:
    """ConfigError for a part of your own that returns anything but a distribution with log-densities."""
    batch = (NUM_DRAWS, NUM_EXAMPLES)
    if _is_own(likelihood):
        raw = _zeros(likelihood, *batch, *likelihood.raw_shape)
        x = _zeros(likelihood, NUM_EXAMPLES, *likelihood.event_shape)
        _try("likelihood", likelihood, lambda: likelihood(raw), x, batch)
    if _is_own(posterior):
        raw = _zeros(posterior, NUM_EXAMPLES, *posterior.raw_shape)
        z = _zeros(posterior, *batch, posterior.latent_dim)
        _try("posterior", posterior, lambda: posterior(raw), z, batch)
    if _is_own(prior):
        _try("prior", prior, prior.family, _zeros(prior, *batch, prior.latent_dim), batch)


@torch.no_grad()
def check_network(name: str, network: nn.Module, shape: tuple[int, ...], wanted: tuple[int, ...], by: str) -> None:
    """ConfigError unless a network maps inputs of `shape`, here zeros, to the shape that `by` wants."""
    start, was_training = next(network.parameters(), torch.zeros(())), network.training
    network.eval()
    try:
        came = tuple(network(start.new_zeros(NUM_EXAMPLES, *shape)).shape)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the {name} fails on inputs of shape {times(shape)}: {reason}") from error
    finally:
        network.train(was_training)
    if came != (NUM_EXAMPLES, *wanted):
        raise ConfigError(
            f"the {name} maps {NUM_EXAMPLES} inputs of shape {times(shape)} to {times(came)}; {by} needs "
            f"{times((NUM_EXAMPLES, *wanted))}."
        )


def times(shape: Sequence[int]) -> str:
    """A shape as text, for example 28×28×1."""
    return "×".join(map(str, shape))


def _is_own(part: Part) -> bool:
    return type(part).__module__.partition(".")[0] != SHIPPED


def _zeros(part: Part, *shape: int) -> Tensor:
    return next(part.parameters(), torch.zeros(())).new_zeros(shape)


def _try(kind: str, part: Part, forward: Callable[[], Any], value: Tensor, batch: tuple[int, ...]) -> None:
    name = f"{kind} {type(part).__name__}"
    try:
        distribution = forward()
    except Exception as error:
        raise ConfigError(f"{name}: forward failed for an input of zeros ({in_one_line(error)}).") from error
    if not isinstance(distribution, Distribution):
        raise ConfigError(
            f"{name}: forward returned {_described(distribution)}; it needs to return a Distribution of "
            "lowerbound.probability.distributions, or a class derived from it."
        )
    try:
        found = distribution.log_prob(value)
    except Exception:
        return  # zero may lie outside of the support
    if not isinstance(found, Tensor) or not found.is_floating_point() or tuple(found.shape) != batch:
        raise ConfigError(
            f"{name}: log_prob of {type(distribution).__name__} returned {_described(found)} for {NUM_DRAWS} draws of "
            f"{NUM_EXAMPLES} examples; it needs to return a tensor of floats of shape {format_shape(batch)}: one "
            "log-density, in nats, for each draw of each example."
        )


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} ({format_shape(value.shape)})"
    kind = type(value)
    return f"a {kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else f"a {kind.__qualname__}"
