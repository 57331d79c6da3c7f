"""Operations of a served model: encode, decode, reconstruct, generate, score.

An operation computes several requests in one pass. Noise for an example is seeded from its values and the
request's seed (seeding.py): the same example with the same seed gets the same numbers alone or in a batch, in any
order. Draws from the prior or from p(x|z) are seeded from the request's seed and their position in the request. So
outputs do not depend on the other requests of the pass, except for the last bits of a number, because floats are summed
in another order for another number of examples.

    q(z|x)   mean, log_variance, covariance if it is not diagonal (on a sphere, on a simplex and for codes, the
             parameters of the family), and z, a draw
    p(x|z)   mean (for categorical values, the most probable level), and sample, a draw
    score    elbo = -(rate + distortion), in nats, with its standard error over draws; NaN for a row whose cells are
             all missing
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.examples import to_model_scale
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import codes_from_prior, drawn_examples
from lowerbound.foundation.schema import UNSCALED, Range
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import Terms, terms_of_draws
from lowerbound.probability.distributions import DiagonalNormal, Distribution, Draws, PointMass
from lowerbound.probability.summaries import summary_of

CHUNK = 512  # examples per forward pass; more would take memory without being faster
BATCH = -1  # the length of the batch axis in a shape: any


@dataclass(frozen=True)
class Signature:
    """Name, datatype and shape of an input or output tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_drawn: bool = False  # returned only if a draw is requested


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """A request to an operation."""

    num_examples: int
    x: np.ndarray | None = None  # examples, or z for an operation that takes latents
    range: Range = UNSCALED  # the stored numbers in x that are 0 and 1 for the model
    seed: int = 0
    sample: bool = False
    temperature: float = 1.0
    num_draws: int = 16
    context: np.ndarray | None = None  # of a conditional model: a row for each example


Outputs = dict[str, np.ndarray]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Operation:
    """An operation, with its input, parameters and outputs for a model."""

    name: str
    about: str
    takes: Literal["x", "z", "num"]  # its input: examples, latents, or a number of examples
    parameters: tuple[str, ...]
    outputs: Callable[[VAE], tuple[Signature, ...]]
    compute: Callable[[VAE, Sequence[InferenceRequest]], list[Tensors]]
    always_draws: bool = False  # also if `sample` is false
    needs_density: bool = False  # unavailable for a deterministic autoencoder
    needs_prior: bool = False  # unavailable for one without a fitted prior

    def inputs(self, model: VAE) -> tuple[Signature, ...]:
        """Its input tensors."""
        makers = {"x": _examples, "z": _latents, "num": lambda model, name: Signature(name, "INT32", (1,))}
        context = [Signature("context", "FP32", (BATCH, len(model.conditions)))] if model.conditions else []
        return (makers[self.takes](model, self.takes), *context)


@torch.inference_mode()
def compute(operation: Operation, model: VAE, requests: Sequence[InferenceRequest]) -> list[Outputs]:
    """The outputs of each request, from one pass over all."""
    outputs = operation.compute(_given(model, requests), requests)
    return [{name: value.contiguous().cpu().numpy() for name, value in tensors.items()} for tensors in outputs]


def warm_up_request(operation: Operation, model: VAE) -> InferenceRequest:
    """A request with one example of zeros, to check a model and warm it up."""
    shape = {"x": model.event_shape, "z": (model.latent_dim,)}.get(operation.takes)
    x, context = (None if size is None else np.zeros((1, *size), np.float32) for size in (shape, _context_shape(model)))
    return InferenceRequest(num_examples=1, x=x, context=context)


def _context_shape(model: VAE) -> tuple[int, ...] | None:
    return (len(model.conditions),) if model.conditions else None


def _given(model: VAE, requests: Sequence[InferenceRequest]) -> VAE:
    """The model with the contexts of all examples of all requests; itself unless it is conditional."""
    rows = [request.context for request in requests if request.context is not None]
    device = next(model.parameters()).device
    return model.given(torch.from_numpy(np.concatenate(rows)).to(device)) if rows else model


def _models_of(model: VAE, requests: Sequence[InferenceRequest]) -> Iterator[VAE]:
    """The model with the contexts of each request."""
    yield from (model.at_rows(rows) for rows in _rows_of(requests))


def _rows_of(requests: Sequence[InferenceRequest]) -> Sequence[Tensor]:
    """The places of each request's examples among those of all."""
    sizes = [request.num_examples for request in requests]
    return torch.arange(sum(sizes)).split(sizes)


def _encode(model: VAE, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    x = _joined(model, requests)
    raw = _raw_posterior(model, x)
    posterior: Distribution = model.posterior(raw)
    shared = summary_of(posterior)
    if _has_covariance(model):
        shared["covariance"] = posterior.covariance
    outputs = _split(shared, requests)
    parts = zip(requests, _per_request(x, requests), _per_request(raw, requests), outputs, strict=True)
    for request, examples, part, tensors in parts:
        if request.sample:
            tensors["z"] = _posterior_draws(model, request, examples, part, "posterior").value[0]
    return outputs


def _decode(model: VAE, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    raw = _raw_likelihood(model, _joined(model, requests))
    outputs = _split({"mean": best_guess(model, model.likelihood(raw))}, requests)
    for request, part, tensors in zip(requests, _per_request(raw, requests), outputs, strict=True):
        if request.sample:
            tensors["sample"] = _drawn_one_by_one(model, request, part)
    return outputs


def _drawn_one_by_one(model: VAE, request: InferenceRequest, raw: Tensor) -> Tensor:
    """A draw from p(x|z) for each point, with a stream per position, so that it does not depend on later points."""
    streams = (generator(request.seed, f"likelihood/{position}", raw.device) for position in range(len(raw)))
    rows = zip(raw.split(1), streams, strict=True)
    return torch.cat([model.likelihood(row).sample(stream, 1)[0] for row, stream in rows])


def _reconstruct(model: VAE, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    x = _joined(model, requests)
    raw = _raw_posterior(model, x)
    centres = model.posterior(raw).centre
    parts = zip(requests, *(_per_request(tensor, requests) for tensor in (x, raw, centres)), strict=True)
    codes = [
        _posterior_draws(model, request, examples, part, "posterior").value[0] if request.sample else centre
        for request, examples, part, centre in parts
    ]
    likelihood = model.likelihood(_raw_likelihood(model, torch.cat(codes)))
    return _split({"reconstruction": best_guess(model, likelihood)}, requests)


def _generate(model: VAE, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    # As the command `sample`: a seed always gives the same first examples, regardless of their number.
    models = list(_models_of(model, requests))
    codes = [codes_from_prior(own, *_drawn(request)) for own, request in zip(models, requests, strict=True)]
    raw = _raw_likelihood(model, torch.cat(codes))
    outputs = _split({"mean": best_guess(model, model.likelihood(raw)), "z": torch.cat(codes)}, requests)
    for own, request, tensors in zip(models, requests, outputs, strict=True):
        if request.sample:
            tensors["sample"] = drawn_examples(own, *_drawn(request))
    return outputs


def _drawn(request: InferenceRequest) -> tuple[int, int, float]:
    """Number of examples, seed, temperature."""
    return request.num_examples, request.seed, request.temperature


def _score(model: VAE, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    outputs: dict[int, Tensors] = {}
    for num_draws in {request.num_draws for request in requests}:
        chosen = [index for index, request in enumerate(requests) if request.num_draws == num_draws]
        own = [rows for index, rows in enumerate(_rows_of(requests)) if index in chosen]
        scored = _scored(model.at_rows(torch.cat(own)), [requests[index] for index in chosen], num_draws)
        outputs |= dict(zip(chosen, scored, strict=True))
    return [outputs[index] for index in range(len(requests))]


def _scored(model: VAE, requests: Sequence[InferenceRequest], num_draws: int) -> list[Tensors]:
    x = _joined(model, requests)
    raw = _raw_posterior(model, x)
    posterior = model.posterior(raw)
    parts = zip(requests, _per_request(x, requests), _per_request(raw, requests), strict=True)
    draws = [_posterior_draws(model, *part, "evaluation", num_draws) for part in parts]
    terms = terms_of_draws(
        model, x, Draws.joined(draws, dim=1), posterior, lambda z: model.likelihood(_raw_likelihood(model, z))
    )
    precise = Terms(*(part.double() for part in (terms.log_likelihood, terms.rate_of_draw, terms.rate_of_levels)))
    names = {"elbo": "elbo", "rate": "rate", "distortion": "distortion", "standard_error": "elbo_standard_error"}
    is_known = ~x.isnan().flatten(1).all(1)
    values = {name: getattr(precise, attribute).float() for name, attribute in names.items()}
    return _split({name: value.where(is_known, torch.nan) for name, value in values.items()}, requests)


def _posterior_draws(
    model: VAE, request: InferenceRequest, x: Tensor, raw: Tensor, name: str, num_draws: int = 1
) -> Draws:
    """Draws from the posteriors of one request's examples, with a stream per example."""
    posterior: Distribution = model.posterior(raw)
    return posterior.draw(content_noise(x, request.seed, name), num_draws)


def _raw_posterior(model: VAE, x: Tensor) -> Tensor:
    return _in_chunks(lambda own, part: own.raw_posterior(part), model, x)


def _raw_likelihood(model: VAE, z: Tensor) -> Tensor:
    return _in_chunks(lambda own, part: own.raw_likelihood(part), model, z)


def _in_chunks(network: Callable[[VAE, Tensor], Tensor], model: VAE, x: Tensor) -> Tensor:
    if len(x) <= CHUNK:
        return network(model, x)
    rows = torch.arange(len(x)).split(CHUNK)
    return torch.cat([network(model.at_rows(part), x[part]) for part in rows])


def _joined(model: VAE, requests: Sequence[InferenceRequest]) -> Tensor:
    """All examples of all requests, on the model's scale."""
    device = next(model.parameters()).device
    floats = [_on_model_scale(request.x, request.range) for request in requests if request.x is not None]
    return torch.from_numpy(floats[0] if len(floats) == 1 else np.concatenate(floats)).to(device)


def _on_model_scale(x: np.ndarray, scale: Range) -> np.ndarray:
    return x if x.dtype == np.float32 and scale == UNSCALED else to_model_scale(x, scale)


def _per_request(tensor: Tensor, requests: Sequence[InferenceRequest]) -> Sequence[Tensor]:
    return tensor.split([request.num_examples for request in requests])


def _split(shared: Tensors, requests: Sequence[InferenceRequest]) -> list[Tensors]:
    """Each request's part of every tensor."""
    parts: Iterator[tuple[Tensor, ...]] = zip(
        *(_per_request(tensor, requests) for tensor in shared.values()), strict=True
    )
    return [dict(zip(shared, part, strict=True)) for part in parts]


def _examples(model: VAE, name: str, is_drawn: bool = False) -> Signature:
    return Signature(name, "FP32", (BATCH, *model.event_shape), is_drawn)


def _latents(model: VAE, name: str, is_drawn: bool = False) -> Signature:
    return Signature(name, "FP32", (BATCH, model.latent_dim), is_drawn)


def _posterior_outputs(model: VAE) -> tuple[Signature, ...]:
    summary = summary_of(model.posterior_of_zeros()).items()
    outputs = [Signature(name, "FP32", (BATCH, *tensor.shape[1:])) for name, tensor in summary]
    if _has_covariance(model):
        outputs.append(Signature("covariance", "FP32", (BATCH, model.latent_dim, model.latent_dim)))
    return (*outputs, *(() if model.is_deterministic else (_latents(model, "z", is_drawn=True),)))


def _has_covariance(model: VAE) -> bool:
    """Whether the latents of q(z|x) are real and correlated."""
    is_diagonal = isinstance(model.posterior_of_zeros(), DiagonalNormal | PointMass)
    return not (model.why_not_real or is_diagonal)


def _score_outputs(model: VAE) -> tuple[Signature, ...]:
    return tuple(Signature(name, "FP32", (BATCH,)) for name in ("elbo", "rate", "distortion", "standard_error"))


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            name="encode",
            about="the posterior q(z|x): mean, log-variance, covariance unless diagonal, and a draw z on request",
            takes="x",
            parameters=("sample", "seed"),
            outputs=_posterior_outputs,
            compute=_encode,
        ),
        Operation(
            name="decode",
            about="the likelihood p(x|z): its mean, and a draw on request",
            takes="z",
            parameters=("sample", "seed"),
            outputs=lambda model: (_examples(model, "mean"), _examples(model, "sample", is_drawn=True)),
            compute=_decode,
        ),
        Operation(
            name="reconstruct",
            about="the decoded posterior mean, or a decoded draw on request",
            takes="x",
            parameters=("sample", "seed"),
            outputs=lambda model: (_examples(model, "reconstruction"),),
            compute=_reconstruct,
        ),
        Operation(
            name="generate",
            about="draws z from the prior, decoded",
            takes="num",
            parameters=("num", "seed", "temperature", "sample"),
            outputs=lambda model: (
                _examples(model, "mean"),
                _latents(model, "z"),
                _examples(model, "sample", is_drawn=True),
            ),
            compute=_generate,
            always_draws=True,
            needs_prior=True,
        ),
        Operation(
            name="score",
            about="the evidence lower bound with its rate and distortion, in nats",
            takes="x",
            parameters=("seed", "num_draws"),
            outputs=_score_outputs,
            compute=_score,
            always_draws=True,
            needs_density=True,
        ),
    )
}
