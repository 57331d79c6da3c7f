"""Gain of each fast path: training with all of them, compared with training with all but one.

    LOWERBOUND_DATA=DIR python benchmarks/fast_paths.py [--rounds 7]

The real loop on MNIST images. A piece is turned off in one of two trainings in the same process, which
alternate in windows of steps; process-wide settings (memory) are compared between two alternating
processes. Numbers are medians of the rounds' ratios of time without the piece to time with it. Writes
benchmarks/results/MACHINE/fast_paths.json.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from measuring import NUM_WATCHED, digits, markdown, network, source, spread, training, write_figures
from side_by_side import positive
from torch import nn

import lowerbound as lb
from lowerbound.data.sources import DataConfig, Splits
from lowerbound.networks.kernels import Conv2d, ConvTranspose2d
from lowerbound.training import speed, stepping

NUM_IMAGES = 20_000
Change = Callable[[lb.VAE], None]
Rounds = list[tuple[float, float]]


@dataclass(frozen=True)
class Piece:
    """One fast path: where it is measured, and how it is turned off for one model."""

    name: str
    network: str
    batch_size: int
    precision: str
    turn_off: Change
    num_warm_up_steps: int = 20


def set_on(kind: type[nn.Module], attribute: str) -> Change:
    """Turns `attribute` off on every layer of a kind."""

    def change(model: lb.VAE) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                setattr(module, attribute, False)

    return change


def channels_first(model: lb.VAE) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()


def nothing(model: lb.VAE) -> None:
    """For pieces that are turned off in another way."""


CONV = [("conv", 128, "float32"), ("conv", 128, "bfloat16")]
PIECES = [
    *(Piece("separate bias of transposed convolutions", *case, set_on(ConvTranspose2d, "fast")) for case in CONV),
    Piece("last convolution as a matrix product", *CONV[0], set_on(Conv2d, "fast")),
    *(Piece("channels last", *case, channels_first) for case in CONV),
    # Adam's moments take hundreds of steps to decay.
    Piece("denormal moments flushed to zero", "dense", 32, "float32", nothing, num_warm_up_steps=3000),
]
MEMORY = [*CONV, ("dense", 128, "float32")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7)
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/fast_paths.json")
    arguments = parser.parse_args()
    splits = lb.load_data(DataConfig(source="mnist", validation="test"))
    rows = [
        row(piece.name, piece.network, piece.batch_size, piece.precision, side_by_side(piece, splits, arguments.rounds))
        for piece in PIECES
    ]
    for name, batch_size, precision in MEMORY:
        measured = memory_in_turn(name, batch_size, precision, arguments.rounds)
        rows.append(row("memory kept between steps", name, batch_size, precision, measured))
    path, figures = write_figures("fast_paths", {"pieces": rows}, arguments.out)
    print(table(figures))
    print(path)


def row(piece: str, network: str, batch_size: int, precision: str, measured: Rounds) -> dict[str, Any]:
    """A piece's figures, from seconds per image with it and without it in each round."""
    return {
        "piece": piece,
        "network": network,
        "batch_size": batch_size,
        "precision": precision,
        "with": spread([1e6 * with_it for with_it, _ in measured]),
        "without": spread([1e6 * without for _, without in measured]),
        "ratio": spread([without / with_it for with_it, without in measured]),
    }


def side_by_side(piece: Piece, splits: Splits, rounds: int) -> Rounds:
    """Seconds per image with the piece and without it, in turn."""
    num_steps = 20 if piece.network == "conv" else 100
    sides = []
    for is_on in (True, False):
        model = network(piece.network)
        if not is_on:
            piece.turn_off(model)  # the memory layout must be set before the optimiser is created
        steps = windows(model, splits, piece.batch_size, piece.precision, num_steps)
        between = stepping.STEPS_BETWEEN_DROPS if is_on or piece.turn_off is not nothing else 10**9
        sides.append((steps, between))
        next(steps)
        if not is_on:
            piece.turn_off(model)  # fit() has chosen the fast form of every layer
    measured = []
    usual = stepping.STEPS_BETWEEN_DROPS
    for number in range(piece.num_warm_up_steps // num_steps + 1 + rounds):
        pair = []
        for steps, between in sides:
            stepping.STEPS_BETWEEN_DROPS = between
            pair.append(next(steps))
        if number > piece.num_warm_up_steps // num_steps:
            measured.append((pair[0], pair[1]))
    stepping.STEPS_BETWEEN_DROPS = usual
    return measured


def memory_in_turn(name: str, batch_size: int, precision: str, rounds: int) -> Rounds:
    """The same with memory kept and with memory returned, in separate processes."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as keeping, ProcessPoolExecutor(1, mp_context=spawn) as giving:
        pools = ((keeping, True), (giving, False))
        for pool, keeps in pools:
            pool.submit(_start, name, batch_size, precision, keeps).result()
        return [(keeping.submit(_next).result(), giving.submit(_next).result()) for _ in range(rounds)]


def _start(name: str, batch_size: int, precision: str, keeps: bool) -> None:
    if not keeps:
        speed.kept_memory = nullcontext  # type: ignore[assignment]
    splits = lb.load_data(DataConfig(source="mnist", validation="test"))
    _WINDOWS.append(windows(network(name), splits, batch_size, precision, 20))
    for _ in range(3):
        next(_WINDOWS[0])


def _next() -> float:
    return next(_WINDOWS[0])


_WINDOWS: list[Iterator[float]] = []


def windows(model: lb.VAE, splits: Splits, batch_size: int, precision: str, num_steps: int) -> Iterator[float]:
    """Seconds per image of one window of steps after another."""
    few = replace(
        splits,
        train=splits.train.subset(np.arange(NUM_IMAGES)),
        validation=splits.validation.subset(np.arange(NUM_WATCHED)),
    )
    records = lb.training_steps(model, few, lb.Objective(), training(batch_size, num_steps, precision))
    last = next(records)
    while True:
        start = time.perf_counter()
        progress = next(records)
        seconds = time.perf_counter() - start
        # Only complete windows: one at the end of an epoch is shorter and includes the validation.
        if progress.validation is None and last.validation is None:
            yield seconds / num_steps / batch_size
        last = progress


def table(figures: dict[str, Any]) -> str:
    """Table of the ratio of step times without and with each piece."""
    columns = ["piece", "network", "batch", "precision", "µs per image", "without", "slowdown without (quartiles)"]
    rows = [
        [
            piece["piece"],
            piece["network"],
            str(piece["batch_size"]),
            piece["precision"],
            digits(piece["with"]["median"]),
            digits(piece["without"]["median"]),
            "{median:.2f} ({lower_quartile:.2f} to {upper_quartile:.2f})".format(**piece["ratio"]),
        ]
        for piece in figures["pieces"]
    ]
    return f"{markdown(columns, rows)}\n\n{source(figures)}"


if __name__ == "__main__":
    main()
