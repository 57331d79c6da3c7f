"""coded_rate_metrics: what lossless compression really takes for test examples, beside their −ELBO.

A likelihood that gives more probability than there is, or densities where there are none, has an ELBO that no file
reaches. So this is the one check of log p(x|z) that does not use it.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32, Int64

from lowerbound.coding.bits_back import BlockCoder, check_can_code, choose_grid
from lowerbound.coding.coders import element_coder
from lowerbound.coding.element_coding import ElementCoder, Levels
from lowerbound.coding.entropy_coder import stack
from lowerbound.coding.pixel_bits import PixelBits, has_pixels, pixel_bits
from lowerbound.coding.rounded_networks import RoundedNetworks
from lowerbound.coding.table_coding import MISSING, CodedColumn, coded_column
from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements
from lowerbound.foundation.errors import DataError, LowerboundError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.threads import one_thread
from lowerbound.models.vae import VAE
from lowerbound.probability.likelihoods import CountLikelihood

NUM_SHOWN = 5  # images whose bits are drawn pixel by pixel
WIDER = 4
"""Ranges of a column of numbers below and above it that have levels, too."""


def why_not_coded(subject: Subject) -> str:
    """Why no examples are coded; empty if they are."""
    if not subject.config.num_coded:
        return "not asked for (evaluation.num_coded)"
    try:
        check_can_code(subject.model)
        stack()
        _levels(subject.model, subject.splits.test.first(subject.config.num_coded))
    except LowerboundError as error:
        return str(error).rstrip(".")
    return ""


def coded_rate_metrics(subject: Subject) -> Measurements:
    """The bits that bits-back coding takes for each of the first test examples, in nats, and how many more than −ELBO.

    Examples are coded one by one into one block, which is then read again, and compared: RuntimeError if it has others.
    The first of them, which are coded directly because there are no bits to get back, are left out of both.
    """
    model = subject.model
    levels, elements = _levels(model, subject.splits.test.first(subject.config.num_coded))
    networks = RoundedNetworks(model)
    with one_thread():
        coder = BlockCoder(networks, elements, choose_grid(networks, elements, levels), lanes=1)
        coded = coder.encode(levels)
        if not np.array_equal(coder.decode(coded.block), levels):
            raise RuntimeError("what was decoded is not what was coded: probabilities are not the same twice")
        shown = pixel_bits(networks, elements, levels[:NUM_SHOWN]) if has_pixels(model.event_shape) else None
    first = max(coded.block.direct) + 1
    if first == len(levels):
        raise DataError(f"all {len(levels)} examples are coded directly; raise evaluation.num_coded.")
    taken = torch.from_numpy(coded.bits[first:] * math.log(2))
    missing = torch.from_numpy(elements.missing_bits(levels)[first:] * math.log(2))
    excess = taken - missing - torch.from_numpy(coded.negative_elbos[first:])
    score = subject.scorer()
    about = "what lossless compression takes for an example, bits back included"
    of_rows = ", of known cells and rounded numbers" if model.columns else ""
    return Measurements(
        (
            score("coded-rate", taken, about, 1),
            score("coded-excess", excess, f"the coded rate minus −ELBO of the same examples and draws{of_rows}", 1),
        ),
        {} if shown is None else _arrays(shown),
    )


def _arrays(shown: PixelBits) -> dict[str, np.ndarray]:
    """Arrays of the figure of where the bits go."""
    return {
        "bit_images": shown.images,
        "bits_of_pixels": shown.of_pixels.astype(np.float32),
        "bits_of_latents": shown.of_latents.astype(np.float32),
    }


def _levels(model: VAE, examples: Examples) -> tuple[Levels, ElementCoder]:
    """Levels of examples, and their coder; DataError for values between levels."""
    if model.columns:
        return _levels_of_rows(model, examples)
    x = scaled(examples).double().flatten(1).numpy()
    is_count = isinstance(model.likelihood, CountLikelihood)
    elements = element_coder(model.likelihood, int(x.max(initial=0)) + 1 if is_count else 0)
    step = float(elements.to_x(np.ones((1, 1), np.int64))[0, 0])
    levels = np.rint(x / step).astype(np.int64)
    if not np.array_equal(elements.to_x(levels).astype(np.float32), x.astype(np.float32)):
        raise DataError("the data have values between the levels to which the model gives probabilities")
    return levels, elements


def _levels_of_rows(model: VAE, examples: Examples) -> tuple[Levels, ElementCoder]:
    found = [_coded(column, cells) for column, cells in zip(model.columns, np.asarray(examples.values).T, strict=True)]
    levels = np.stack([levels for _, levels in found], axis=1)
    return levels, element_coder(model.likelihood, columns=tuple(column for column, _ in found))


def _coded(column: Column, cells: Float32[np.ndarray, " row"]) -> tuple[CodedColumn, Int64[np.ndarray, " row"]]:
    """How a column is coded; of numbers in a wider range than theirs, since its ends have the mass of all beyond."""
    if column.kind != "numeric":
        return coded_column(column, cells.astype(np.float64))
    # Numbers as the table had them, as far as they are known from what was stored.
    coded, levels = coded_column(column, column.as_drawn(cells).astype(np.float64))
    more = WIDER * coded.num_levels
    wide = replace(coded, low=coded.low - more, num_levels=coded.num_levels + 2 * more)
    return wide, np.where(levels == MISSING, MISSING, levels + more)
