"""explain: why an example has its anomaly score: the elements, or the part of an image, that cost unusually much.

The distortion of each element, in nats, is compared with its mean over held-out examples; so is the rate. What is above
these means adds up to the difference of the example's −ELBO from the mean.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.evaluation.anomaly_scores import NUM_DRAWS, Calibration
from lowerbound.evaluation.element_costs import element_costs
from lowerbound.evaluation.expected_terms import BATCH_SIZE
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import to_images
from lowerbound.models.vae import VAE
from lowerbound.runs.trained_model import TrainedModel

WINDOW = 4
"""The part of an image that is named has this fraction of its shorter side."""

MOST_REASONS = 5
LEAST_EXCESS = 0.05  # nats


@dataclass(frozen=True)
class Reason:
    """An element of an example, or a part of an image, that costs more than in held-out examples."""

    element: str  # such as "age", "element 3", "rows 2-5, columns 10-13"
    excess: float  # nats
    value: str = ""  # in stored units; empty for a part of an image
    expected: str = ""  # the model's reconstruction


@dataclass(frozen=True, eq=False)
class Explanation:
    """What an example's −ELBO is made of, above the means over held-out examples, in nats."""

    excess: float
    distortion: float  # its part of the excess; NaN if only the whole is known
    rate: float
    reasons: tuple[Reason, ...]  # the largest first
    pictures: tuple[Float[np.ndarray, "height width channel"], ...] = ()  # of an image: itself, reconstructed

    def as_json(self) -> dict[str, Any]:
        """The numbers, for other programs."""
        parts = {"excess": self.excess, "distortion": self.distortion, "rate": self.rate}
        known = {name: None if math.isnan(value) else value for name, value in parts.items()}
        return {**known, "reasons": [asdict(reason) for reason in self.reasons]}

    @property
    def text(self) -> str:
        """The reasons on one line."""
        if math.isnan(self.distortion):
            return f"-ELBO {self.excess:+.1f}"
        if self.pictures:
            most = f" ({self.reasons[0].element}: {self.reasons[0].excess:+.1f})" if self.reasons else ""
            return f"distortion {self.distortion:+.1f}{most}, rate {self.rate:+.1f}"
        rate = [("rate", self.rate)] if self.rate >= LEAST_EXCESS else []
        named = [(reason.element, reason.excess) for reason in self.reasons] + rate
        shown = sorted(named, key=lambda one: -one[1])[:3]
        return ", ".join(f"{name} {excess:+.1f}" for name, excess in shown) or f"-ELBO {self.excess:+.1f}"


@torch.no_grad()
def explain(
    trained: TrainedModel,
    calibration: Calibration,
    examples: Examples,
    negative_elbo: Float[np.ndarray, " n"],
    device: torch.device | str = "cpu",
) -> tuple[Explanation, ...]:
    """The explanation of each example, whose −ELBO was measured on the device that the model is on."""
    model = trained.vae
    costs = element_costs(model, examples, NUM_DRAWS, 0, device) if calibration.mean_costs is not None else None
    excess = negative_elbo - calibration.normal.negative_elbo.mean()
    x, expected = _reconstructed(model, examples, device)
    if costs is None or calibration.mean_costs is None:
        return tuple(Explanation(float(value), math.nan, math.nan, ()) for value in excess)
    above = costs - calibration.mean_costs
    reasons = _reasons(trained, above, x, expected)
    distortion = np.nansum(above.reshape(len(above), -1), axis=1)
    images = (to_images(x), to_images(expected)) if examples.layout == "image" else ()
    return tuple(
        Explanation(
            excess=float(excess[index]),
            distortion=float(distortion[index]),
            rate=float(excess[index] - distortion[index]),
            reasons=tuple(of_example),
            pictures=tuple(part[index] for part in images),
        )
        for index, of_example in enumerate(reasons)
    )


def _reconstructed(
    model: VAE, examples: Examples, device: torch.device | str
) -> tuple[Float[torch.Tensor, "n *event"], Float[torch.Tensor, "n *event"]]:
    """Examples as the model sees them, and what it reconstructs."""
    given, found = [], []
    for batch in Batches(examples, BATCH_SIZE, device):
        conditioned = model.given(batch.context)
        given.append(batch.x.cpu())
        found.append(best_guess(model, conditioned.decode(conditioned.encode(batch.x).centre)).cpu())
    return torch.cat(given), torch.cat(found)


def _reasons(
    trained: TrainedModel, above: Float[np.ndarray, "n *event"], x: torch.Tensor, expected: torch.Tensor
) -> Iterator[list[Reason]]:
    if trained.schema.layout == "image":
        yield from ([_worst_part(of_example.sum(0))] for of_example in above)
        return
    names, values, guesses = _in_stored_units(trained, x, expected)
    for index, of_example in enumerate(above.reshape(len(above), -1)):
        order = np.argsort(-np.nan_to_num(of_example, nan=-np.inf), kind="stable")[:MOST_REASONS]
        yield [
            Reason(names[at], float(of_example[at]), values[at][index], guesses[at][index])
            for at in order
            if of_example[at] >= LEAST_EXCESS
        ]


def _in_stored_units(
    trained: TrainedModel, x: torch.Tensor, expected: torch.Tensor
) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """The names of all elements, and of each the values and reconstructions as texts."""
    values, guesses = trained.written(x), trained.written(expected)
    if isinstance(values, dict) and isinstance(guesses, dict):
        return list(values), [_texts(cells) for cells in values.values()], [_texts(cells) for cells in guesses.values()]
    shape = tuple(x.shape[1:])
    names = [f"element {','.join(map(str, np.unravel_index(at, shape)))}" for at in range(math.prod(shape))]
    columns = (np.asarray(part).reshape(len(x), -1).T for part in (values, guesses))
    own, reconstructed = ([_texts(cells) for cells in part] for part in columns)
    return names, own, reconstructed


def _texts(cells: Sequence[object] | np.ndarray) -> list[str]:
    return [
        f"{cell:.4g}" if isinstance(cell, float | np.floating) else "" if cell is None else str(cell) for cell in cells
    ]


def _worst_part(above: Float[np.ndarray, "height width"]) -> Reason:
    """The square window that costs most above the mean."""
    side = max(1, round(min(above.shape) / WINDOW))
    sums = np.zeros((above.shape[0] + 1, above.shape[1] + 1))
    sums[1:, 1:] = above.cumsum(0).cumsum(1)
    of_windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, column = np.unravel_index(int(of_windows.argmax()), of_windows.shape)
    where = f"rows {row}-{row + side - 1}, columns {column}-{column + side - 1}"
    return Reason(where, float(of_windows[row, column]))
