"""What a model can be asked: encode, decode, reconstruct, generate, score.

Each operation answers several questions in one pass. Noise for an example is keyed by its values and the seed
(seeding.py): the same example with the same seed has the same numbers alone or among others, in any order. What is
drawn from the prior or from p(x|z) is keyed by the seed and its position in the question. So an answer does not depend
on what else was in the pass; only the last bits of a number may, since sums of floats are taken in another order for
another number of examples.

    q(z|x)   mean, log_variance, and z, a draw
    p(x|z)   mean (of a category its most probable code), and sample, a draw
    score    elbo = -(rate + distortion), in nats, and the standard error that the draws leave in it; NaN for a row
             without a known cell
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data.examples import to_model_scale
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import codes_from_prior, drawn_examples
from lowerbound.foundation.schema import UNSCALED, Range
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.rates import true_rate
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.samples import PosteriorSamples, draw

CHUNK = 512  # examples: the activations of more would take memory without making anything faster
BATCH = -1  # in a shape: as many as there are


@dataclass(frozen=True)
class Signature:
    """One tensor that goes in or comes out."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_drawn: bool = False  # given only where a draw was asked for


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """One request."""

    num_examples: int
    x: np.ndarray | None = None  # or z, where that is what the operation takes
    range: Range = UNSCALED  # the numbers in x that the model sees as 0 and 1
    seed: int = 0
    sample: bool = False
    temperature: float = 1.0
    num_draws: int = 16


Answer = dict[str, np.ndarray]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked, and what it takes and gives for a model."""

    name: str
    about: str
    takes: str  # the name of its input
    parameters: tuple[str, ...]
    inputs: Callable[[VAE], tuple[Signature, ...]]
    outputs: Callable[[VAE], tuple[Signature, ...]]
    compute: Callable[[VAE, Sequence[InferenceRequest]], list[Tensors]]
    always_draws: bool = False  # also without being asked for a sample
    needs_density: bool = False  # whether a deterministic autoencoder has none of it


@torch.inference_mode()
def answer(operation: Operation, model: VAE, questions: Sequence[InferenceRequest]) -> list[Answer]:
    """The answer to each question, from one pass over all."""
    answers = operation.compute(model, questions)
    return [{name: value.contiguous().cpu().numpy() for name, value in tensors.items()} for tensors in answers]


def first_question(operation: Operation, model: VAE) -> InferenceRequest:
    """One example of zeros, to see that a model answers, and to have it ready."""
    shape = {"x": model.event_shape, "z": (model.latent_dim,)}.get(operation.takes)
    return InferenceRequest(num_examples=1, x=None if shape is None else np.zeros((1, *shape), np.float32))


def _encode(model: VAE, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    x = _joined(model, questions)
    raw = _raw_posterior(model, x)
    posterior: Distribution = model.posterior(raw)
    shared = {"mean": posterior.mean}
    if not model.is_deterministic:
        shared["log_variance"] = posterior.variance.log()
    answers = _divided(shared, questions)
    parts = zip(questions, _parts(x, questions), _parts(raw, questions), answers, strict=True)
    for question, examples, part, tensors in parts:
        if question.sample:
            tensors["z"] = _codes_of(model, question, examples, part, "posterior")[0]
    return answers


def _decode(model: VAE, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    raw = _raw_likelihood(model, _joined(model, questions))
    answers = _divided({"mean": best_guess(model, model.likelihood(raw))}, questions)
    for question, part, tensors in zip(questions, _parts(raw, questions), answers, strict=True):
        if question.sample:
            tensors["sample"] = _drawn_one_by_one(model, question, part)
    return answers


def _drawn_one_by_one(model: VAE, question: InferenceRequest, raw: Tensor) -> Tensor:
    """A draw from p(x|z) for each code, from a stream for each position: however many codes follow."""
    streams = (generator(question.seed, f"likelihood/{position}", raw.device) for position in range(len(raw)))
    rows = zip(raw.split(1), streams, strict=True)
    return torch.cat([model.likelihood(row).sample(stream, 1)[0] for row, stream in rows])


def _reconstruct(model: VAE, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    x = _joined(model, questions)
    raw = _raw_posterior(model, x)
    means = model.posterior(raw).mean
    parts = zip(questions, *(_parts(tensor, questions) for tensor in (x, raw, means)), strict=True)
    codes = [
        _codes_of(model, question, examples, part, "posterior")[0] if question.sample else mean
        for question, examples, part, mean in parts
    ]
    likelihood = model.likelihood(_raw_likelihood(model, torch.cat(codes)))
    return _divided({"reconstruction": best_guess(model, likelihood)}, questions)


def _generate(model: VAE, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    # What the command `sample` draws: the same seed gives the same examples, the first ones however many follow.
    codes = [codes_from_prior(model, *_drawn(question)) for question in questions]
    raw = _raw_likelihood(model, torch.cat(codes))
    answers = _divided({"mean": best_guess(model, model.likelihood(raw)), "z": torch.cat(codes)}, questions)
    for question, tensors in zip(questions, answers, strict=True):
        if question.sample:
            tensors["sample"] = drawn_examples(model, *_drawn(question))
    return answers


def _drawn(question: InferenceRequest) -> tuple[int, int, float]:
    """How many examples, by which seed, at which temperature."""
    return question.num_examples, question.seed, question.temperature


def _score(model: VAE, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    answers: dict[int, Tensors] = {}
    for num_draws in {question.num_draws for question in questions}:
        chosen = [index for index, question in enumerate(questions) if question.num_draws == num_draws]
        scored = _scored(model, [questions[index] for index in chosen], num_draws)
        answers |= dict(zip(chosen, scored, strict=True))
    return [answers[index] for index in range(len(questions))]


def _scored(model: VAE, questions: Sequence[InferenceRequest], num_draws: int) -> list[Tensors]:
    x = _joined(model, questions)
    raw = _raw_posterior(model, x)
    posterior, prior = model.posterior(raw), model.prior()
    parts = zip(questions, _parts(x, questions), _parts(raw, questions), strict=True)
    codes = [_codes_of(model, question, examples, part, "evaluation", num_draws) for question, examples, part in parts]
    terms = []
    # One draw at a time: memory does not grow with their number.
    for z in torch.cat(codes, dim=1):
        log_likelihood = model.likelihood(_raw_likelihood(model, z)).log_prob(x)
        rate = true_rate(PosteriorSamples.of_one_group(z[None], log_likelihood[None], posterior, prior))
        terms.append(torch.stack([rate, -log_likelihood]))
    means = _means(torch.stack(terms).double())
    is_known = ~x.isnan().flatten(1).all(1)
    return _divided({name: value.where(is_known, torch.nan) for name, value in means.items()}, questions)


def _codes_of(
    model: VAE, question: InferenceRequest, x: Tensor, raw: Tensor, name: str, num_draws: int = 1
) -> Float[Tensor, "draw batch latent"]:
    """Draws from the posteriors of one question's examples, from a stream for each."""
    return draw(model.posterior(raw), content_noise(x, question.seed, name), num_draws)


def _means(terms: Float[Tensor, "draw term batch"]) -> Tensors:
    """Means over draws of rate and distortion, the two terms, and the standard error of their sum."""
    rate, distortion = terms.mean(0)
    error = terms.sum(1).std(0, correction=1) / len(terms) ** 0.5
    values = {"elbo": -(rate + distortion), "rate": rate, "distortion": distortion, "standard_error": error}
    return {name: value.float() for name, value in values.items()}


def _raw_posterior(model: VAE, x: Tensor) -> Tensor:
    return _in_chunks(lambda part: model.encoder(model.likelihood.features(part)).to(part.dtype), x)


def _raw_likelihood(model: VAE, z: Tensor) -> Tensor:
    return _in_chunks(lambda part: model.decoder(part).to(part.dtype), z)


def _in_chunks(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if len(x) <= CHUNK:
        return network(x)
    return torch.cat([network(part) for part in x.split(CHUNK)])


def _joined(model: VAE, questions: Sequence[InferenceRequest]) -> Tensor:
    """All examples of all questions, as the model sees them."""
    device = next(model.parameters()).device
    floats = [_seen(question.x, question.range) for question in questions if question.x is not None]
    return torch.from_numpy(floats[0] if len(floats) == 1 else np.concatenate(floats)).to(device)


def _seen(x: np.ndarray, scale: Range) -> np.ndarray:
    return x if x.dtype == np.float32 and scale == UNSCALED else to_model_scale(x, scale)


def _parts(tensor: Tensor, questions: Sequence[InferenceRequest]) -> Sequence[Tensor]:
    return tensor.split([question.num_examples for question in questions])


def _divided(shared: Tensors, questions: Sequence[InferenceRequest]) -> list[Tensors]:
    """Of each tensor every question's own part."""
    parts: Iterator[tuple[Tensor, ...]] = zip(*(_parts(tensor, questions) for tensor in shared.values()), strict=True)
    return [dict(zip(shared, part, strict=True)) for part in parts]


def _examples(model: VAE, name: str, is_drawn: bool = False) -> Signature:
    return Signature(name, "FP32", (BATCH, *model.event_shape), is_drawn)


def _codes(model: VAE, name: str, is_drawn: bool = False) -> Signature:
    return Signature(name, "FP32", (BATCH, model.latent_dim), is_drawn)


def _posterior_outputs(model: VAE) -> tuple[Signature, ...]:
    if model.is_deterministic:
        return (_codes(model, "mean"),)
    return _codes(model, "mean"), _codes(model, "log_variance"), _codes(model, "z", is_drawn=True)


def _score_outputs(model: VAE) -> tuple[Signature, ...]:
    return tuple(Signature(name, "FP32", (BATCH,)) for name in ("elbo", "rate", "distortion", "standard_error"))


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            name="encode",
            about="the posterior q(z|x): mean and log-variance, and a draw z where one is asked for",
            takes="x",
            parameters=("sample", "seed"),
            inputs=lambda model: (_examples(model, "x"),),
            outputs=_posterior_outputs,
            compute=_encode,
        ),
        Operation(
            name="decode",
            about="the likelihood p(x|z): its mean, and a draw where one is asked for",
            takes="z",
            parameters=("sample", "seed"),
            inputs=lambda model: (_codes(model, "z"),),
            outputs=lambda model: (_examples(model, "mean"), _examples(model, "sample", is_drawn=True)),
            compute=_decode,
        ),
        Operation(
            name="reconstruct",
            about="the decoded mean of the posterior's mean, or of a draw where one is asked for",
            takes="x",
            parameters=("sample", "seed"),
            inputs=lambda model: (_examples(model, "x"),),
            outputs=lambda model: (_examples(model, "reconstruction"),),
            compute=_reconstruct,
        ),
        Operation(
            name="generate",
            about="draws z from the prior, and their decoded means",
            takes="num",
            parameters=("num", "seed", "temperature", "sample"),
            inputs=lambda model: (Signature("num", "INT32", (1,)),),
            outputs=lambda model: (
                _examples(model, "mean"),
                _codes(model, "z"),
                _examples(model, "sample", is_drawn=True),
            ),
            compute=_generate,
            always_draws=True,
            needs_density=True,
        ),
        Operation(
            name="score",
            about="the evidence lower bound, taken apart into rate and distortion, in nats",
            takes="x",
            parameters=("seed", "num_draws"),
            inputs=lambda model: (_examples(model, "x"),),
            outputs=_score_outputs,
            compute=_score,
            always_draws=True,
            needs_density=True,
        ),
    )
}
