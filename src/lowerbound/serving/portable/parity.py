"""check_parity: compares an exported part with the model on examples, and refuses deviations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.data.batches import one_batch
from lowerbound.foundation.errors import LowerboundError, RunError
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text import pluralise
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.portable.latent_outputs import noise_size
from lowerbound.serving.portable.parts import Part

TOLERANCE = 1e-5
"""Tolerance on each number, relative above 1 and absolute below."""

ROUNDINGS = 2
"""Multiple of PyTorch's own rounding error that is accepted if it is larger than the tolerance."""

NUM_COMPARED = 64  # examples

Computation = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Named inputs to named outputs."""


@dataclass(frozen=True, eq=False)
class ComparisonInputs:
    """The inputs on which a model and its exported parts are compared."""

    inputs: dict[str, Tensor]  # x, z and noise
    about: str
    note: str = ""  # why they are not the run's own data


@dataclass(frozen=True)
class Parity:
    """The output with the largest deviation from the model, and the model's deviation from double precision."""

    output: str
    deviation: float
    rounding: float


@torch.no_grad()
def comparison_inputs_of(run: Path, model: VAE, data: str = "", data_dir: str = "") -> ComparisonInputs:
    """Test examples of a run or, if they cannot be read, examples drawn from its model."""
    stream = generator(0, "parity")
    noise = torch.randn(NUM_COMPARED, noise_size(model), generator=stream)
    try:
        examples = own_splits(run, data=data, data_dir=data_dir).test
    except LowerboundError as error:
        context = torch.zeros(NUM_COMPARED, len(model.conditions)) if model.conditions else None
        model = model.given(context)
        z = model.sample_prior(NUM_COMPARED, stream) if model.why_not_real else noise
        inputs = {"x": _drawn(model, z, stream), "z": z, "noise": noise} | _context(context, model)
        return ComparisonInputs(
            inputs, f"{NUM_COMPARED} examples drawn from the model", f"no test examples of the run: {error}"
        )
    batch = one_batch(examples.first(NUM_COMPARED))
    x, noise = batch.x, noise[: len(batch.x)]
    inputs = {"x": x, "z": model.given(batch.context).encode(x).sample(stream, 1)[0], "noise": noise}
    inputs |= _context(batch.context, model)
    chosen = x
    return ComparisonInputs(inputs, pluralise(len(chosen), "test example"))


def _context(context: Tensor | None, model: VAE) -> dict[str, Tensor]:
    """The input "context" of a conditional model."""
    if context is None or not model.takes_context:
        return {}
    return {"context": context.reshape(len(context), -1).float()}


def check_parity(computed: Computation, part: Part, precise: Part, trial: ComparisonInputs) -> Parity:
    """The deviation of an exported part from the model's own, `part`; RunError if it is too large.

    It is too large above 1e-5 from the model and from the model in double precision, `precise`, because both round
    differently. At the limits of single precision, as when a decoder amplifies the last digit of z to the fifth
    digit of an image, a deviation from double precision of about PyTorch's own is accepted.
    """
    outputs, references = computed(trial.inputs), part(trial.inputs)
    exact = precise({name: value.double() for name, value in trial.inputs.items()})
    parities = [
        Parity(name, deviation(outputs[name], reference), deviation(reference, exact[name]))
        for name, reference in references.items()
    ]
    for parity in parities:
        accepted = max(TOLERANCE, ROUNDINGS * parity.rounding)
        is_rounding = deviation(outputs[parity.output], exact[parity.output]) <= accepted
        if not (parity.deviation <= TOLERANCE or is_rounding):
            raise RunError(
                f"the exported {part.name} differs from the model: its {parity.output!r} deviates by "
                f"{parity.deviation:.1e}, but at most {TOLERANCE:.0e} is accepted; nothing was written."
            )
    return max(parities, key=lambda parity: parity.deviation)


def deviation(computed: Tensor, expected: Tensor) -> float:
    """The largest difference, divided by the expected magnitude where that is above 1; NaN equals NaN."""
    if computed.shape != expected.shape:
        return float("inf")
    computed, expected = computed.double(), expected.double()
    is_equal = (computed == expected) | (computed.isnan() & expected.isnan())
    relative = (computed - expected).abs() / expected.abs().clamp(min=1)
    return float(torch.where(is_equal, 0.0, relative.nan_to_num(torch.inf, torch.inf)).max())


def _drawn(model: VAE, z: Tensor, stream: torch.Generator) -> Tensor:
    likelihood: Distribution = model.decode(z)
    return likelihood.sample(stream, 1)[0]
