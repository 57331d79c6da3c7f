"""Training on a GPU: agreement with the CPU, epoch times, bit-identical resumption, and Burda et al.'s model of k = 50.

    LOWERBOUND_DATA=DIR python benchmarks/gpu.py [--parts agreement epochs resumption burda] [--device cuda]

agreement    losses of the first steps on the GPU (recorded as a CUDA graph, and one operation at a time) and on the CPU
epochs       seconds for 60,000 images of 28 x 28; goals: below 0.3 s (conv) and 0.2 s (dense)
resumption   whether a run that was interrupted and resumed has the weights of an uninterrupted one, bit for bit
burda        `burda-iwae` with 50 draws, evaluated with 5,000; goals: -log p(x) at most 84.78, 25 active units; hours

Writes benchmarks/results/MACHINE/gpu.json after each part. With --device cpu and few images it tests itself:
python benchmarks/gpu.py --parts agreement epochs resumption --device cpu --images 640
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice, product, repeat
from pathlib import Path
from typing import Any

import torch
from measuring import network, noise_images, seconds_per_step, spread, training, write_figures
from side_by_side import positive

import lowerbound as lb
from lowerbound.foundation.errors import Interrupted
from lowerbound.objectives.objective import Objective
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.training.loop import training_steps

NETWORKS = ("conv", "dense")
NUM_STEPS = 20
BATCH_SIZES = (128, 512)
NUM_WINDOWS = 5
EPOCH = 60_000


def main() -> None:
    """Measure the parts that are asked for, and write what was found after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=positive, default=EPOCH)
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/gpu.json")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU; --device cpu tests this script without one")
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    figures: dict[str, Any] = {"gpu": name, "images": arguments.images, "parts": {}}
    for part in arguments.parts:
        figures["parts"][part] = found = PARTS[part](arguments)
        print(part, found, flush=True)
        write_figures("gpu", figures, arguments.out)


def agreement(arguments: argparse.Namespace) -> dict[str, Any]:
    """The largest relative difference of the first losses from those of plain operations on the CPU, by network."""
    return {
        f"{name}, {speed}": _difference(_losses(name, arguments.device, speed), _losses(name, "cpu", "plain"))
        for name, speed in product(NETWORKS, ("fast", "plain"))
    }


def _losses(name: str, device: str, speed: str) -> torch.Tensor:
    """The mean ELBO after each of the first steps. A code without noise, since generators differ between devices."""
    splits = noise_images(128 * (NUM_STEPS + 1))
    config = replace(training(128, 1), speed=speed)
    model = lb.build_model(
        replace(network(name).config, posterior="point-mass"), (1, 28, 28), torch.Generator().manual_seed(0)
    )
    steps = training_steps(model, splits, Objective(rate="none"), config, device=device)
    return torch.tensor([record.train.elbo for record in islice(steps, NUM_STEPS)], dtype=torch.float64)


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected) / expected).abs().max())


def epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds for 60,000 images, from windows of the training loop within one pass, by network, batch and precision."""
    found = {}
    for name, batch_size, precision in product(NETWORKS, BATCH_SIZES, ("float32", "bfloat16")):
        window = max(1, arguments.images // batch_size // (NUM_WINDOWS + 2))
        config = training(batch_size, window, precision)
        model, splits = network(name), noise_images(max(arguments.images, batch_size * window * (NUM_WINDOWS + 2)))
        seconds = seconds_per_step(model, splits, config, NUM_WINDOWS, device=arguments.device)
        found[f"{name}, batch {batch_size}, {precision}"] = spread([one * EPOCH / batch_size for one in seconds])
    return found


def resumption(arguments: argparse.Namespace) -> dict[str, bool]:
    """Whether weights are the same to the bit after an interruption, by recipe."""
    return {recipe: _is_resumed_exactly(recipe, arguments.device) for recipe in ("dense", "conv", "conv-quick")}


def _is_resumed_exactly(recipe: str, device: str) -> bool:
    settings = {"training": {"num_epochs": 4, "min_steps": 0}}
    with tempfile.TemporaryDirectory() as folder:
        whole = lb.train("digits", recipe=recipe, settings=settings, out=f"{folder}/whole", device=device)
        stops = chain([False] * 60, repeat(True))
        stopping = lb.Callbacks(should_stop=lambda: next(stops))
        try:
            lb.train(
                "digits", recipe=recipe, settings=settings, out=f"{folder}/part", device=device, callbacks=stopping
            )
        except Interrupted:
            resumed = lb.resume(f"{folder}/part", device=device)
        else:
            raise RuntimeError("the training ended before it was to be interrupted")
        weights = whole.model.vae.state_dict(), resumed.model.vae.state_dict()
        return all(torch.equal(value.cpu(), weights[1][name].cpu()) for name, value in weights[0].items())


def burda(arguments: argparse.Namespace) -> dict[str, Any]:
    """Scores of `burda-iwae` on all test images: the bound of 5,000 draws, and the active units."""
    with tempfile.TemporaryDirectory() as folder:
        lb.train("mnist", recipe="burda-iwae", out=folder, device=arguments.device)
        settings = {"evaluation": {"num_bounded": 10_000, "importance_draws": 5_000}}
        results = reevaluate(folder, settings, device=arguments.device).results
        return {score.name: [score.value, score.standard_error] for score in results.scores if score.split == "test"}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "agreement": agreement,
    "epochs": epochs,
    "resumption": resumption,
    "burda": burda,
}

if __name__ == "__main__":
    main()
