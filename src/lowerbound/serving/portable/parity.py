"""Whether an exported part computes what the model computes, on examples that the model was made for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.batches import scaled
from lowerbound.foundation.errors import LowerboundError, RunError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.portable.parts import Part

TOLERANCE = 1e-5
"""On each number, relative where it is larger than 1 and absolute where it is smaller."""

ROUNDINGS = 2
"""How many times PyTorch's own rounding is accepted, where that is larger."""

NUM_COMPARED = 64  # examples

Computation = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Named inputs to named outputs."""


@dataclass(frozen=True, eq=False)
class ComparisonInputs:
    """What a model and its exported parts are compared on."""

    inputs: dict[str, Tensor]  # x, z and noise
    about: str
    note: str = ""  # why it is not the run's own data


@dataclass(frozen=True)
class Parity:
    """The output of a part that deviates most from the model, by how much, and the model from itself in double."""

    output: str
    deviation: float
    rounding: float


@torch.no_grad()
def comparison_inputs_of(run: Path, model: VAE, data: str = "", data_dir: str = "") -> ComparisonInputs:
    """Real test examples of a run or, where they cannot be read, examples that its model draws."""
    stream = generator(0, "parity")
    noise = torch.randn(NUM_COMPARED, model.latent_dim, generator=stream)
    try:
        examples = own_splits(run, data=data, data_dir=data_dir).test
    except LowerboundError as error:
        inputs = {"x": _drawn(model, noise, stream), "z": noise, "noise": noise}
        return ComparisonInputs(
            inputs, f"{NUM_COMPARED} examples that the model draws", f"no test examples of the run: {error}"
        )
    chosen = examples.subset(np.arange(min(NUM_COMPARED, len(examples))))
    x, noise = scaled(chosen), noise[: len(chosen)]
    inputs = {"x": x, "z": model.encode(x).sample(stream, 1)[0], "noise": noise}
    return ComparisonInputs(inputs, f"{len(chosen)} test examples")


def check_parity(computed: Computation, part: Part, precise: Part, trial: ComparisonInputs) -> Parity:
    """How far an exported part is from the model's own, `part`; RunError if that is too far.

    Too far is beyond 1e-5 of the model and of the same in double precision, `precise`: both round, each its own way.
    Where single precision has no more digits, as where a decoder turns the last digit of z into the fifth of an image,
    it is enough to be about as near to double precision as PyTorch itself is.
    """
    outputs, references = computed(trial.inputs), part(trial.inputs)
    exact = precise({name: value.double() for name, value in trial.inputs.items()})
    found = [
        Parity(name, deviation(outputs[name], reference), deviation(reference, exact[name]))
        for name, reference in references.items()
    ]
    for parity in found:
        accepted = max(TOLERANCE, ROUNDINGS * parity.rounding)
        is_rounding = deviation(outputs[parity.output], exact[parity.output]) <= accepted
        if not (parity.deviation <= TOLERANCE or is_rounding):
            raise RunError(
                f"the exported {part.name} is not the model: its {parity.output!r} deviates by {parity.deviation:.1e}, "
                f"at most {TOLERANCE:.0e} is accepted; nothing was written."
            )
    return max(found, key=lambda parity: parity.deviation)


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
