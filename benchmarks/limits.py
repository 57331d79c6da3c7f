"""The machine's roofline, the networks' cost, and how close training comes to the roofline, in one run.

    python benchmarks/limits.py            about two minutes
    python benchmarks/limits.py --quick    a trial

What the machine can do: the rate of a 2048 × 2048 matrix product into allocated memory (float32 and
bfloat16), and of copies, bytes read and bytes written counted, of footprints from cache to memory.

What a network costs, at 28 × 28 with two latents:

- FLOPs: two for each multiplication and addition of dense and convolutional layers, padding counted as if it were
  pixels; elementwise work is not counted. A training step is the forward pass, the gradients of weights and those of
  layers' inputs, without the gradient of the images, which is not needed: 3 × forward - first layer. Torch's own
  counter measures a real step and must agree with the count by hand.
- Bytes, the least that must move: once per step weights and Adam's two moments read and written, gradients written
  and read (float32 in either precision); for each image its bytes read once, its floats written and read once; and
  each output of a layer with weights, and the draw z, written and read once forward and once backward. Elementwise
  functions are taken to be fused into the layers, copies of weights in bfloat16 to cost nothing.

The roofline bound is the larger of FLOPs / best product rate and bytes / best bandwidth of the copy of the nearest
footprint. The share of the roofline is bound / measured time: of training through `fit` at speed "fast", and of
encoding and decoding 10,000 images in batches. Machine, training and inference are measured in alternating rounds.
"""

import argparse
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from measuring import (
    MIB,
    digits,
    markdown,
    network,
    noise_images,
    seconds_per_step,
    source,
    spread,
    timed,
    training,
    with_quartiles,
    write_figures,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.networks.kernels import choose_kernels, multiplies_by_onednn
from lowerbound.networks.kernels import product as onednn_product
from lowerbound.networks.layers import count_parameters
from lowerbound.objectives.objective import Objective

SIZE = 2048  # rows and columns of the matrices
FOOTPRINTS = (1, 4, 16, 64, 1024)  # MiB, source and target together
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NETWORKS = ("conv", "dense")
BATCH_SIZES = (32, 128, 512)
NUM_IMAGES = 10_000
NUM_INFERRED = 10_000
INFERENCE_BATCH_SIZES = {"encode": 500, "decode": 125}  # the fastest of those tried
STATE_PASSES = 8  # weights and two moments read and written, gradients written and read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trial run: one round, short windows")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    num_rounds, window = (1, 512) if arguments.quick else (4, 2560)
    machine, trained, inferred = measure(num_rounds, window)
    figures = {
        "machine_limits": machine,
        "networks": {name: cost(name) for name in NETWORKS},
        "training": [reached(machine, *case, seconds) for case, seconds in trained.items()],
        "inference": [reached_in_inference(machine, *case, seconds) for case, seconds in inferred.items()],
    }
    path, written = write_figures("limits", figures, arguments.out)
    print(table(written), path, sep="\n\n")


Case = tuple[str, str, int]
"""Network, precision, batch size."""

InferenceCase = tuple[str, str, str]
"""Network, task, precision."""


def measure(
    num_rounds: int, window: int
) -> tuple[dict[str, Any], dict[Case, list[float]], dict[InferenceCase, list[float]]]:
    """Rates of the machine, seconds of an image in training, and of all images in inference.

    A window of training is of `window` images.
    """
    products: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    copies: dict[int, list[float]] = {footprint: [] for footprint in FOOTPRINTS}
    trained: dict[Case, list[float]] = {case: [] for case in product(NETWORKS, PRECISIONS, BATCH_SIZES)}
    inferred: dict[InferenceCase, list[float]] = {
        case: [] for case in product(NETWORKS, INFERENCE_BATCH_SIZES, PRECISIONS)
    }
    images = noise_images(NUM_IMAGES)
    for _ in range(num_rounds):
        for name in PRECISIONS:
            products[name] += product_rates(PRECISIONS[name])
        for footprint in FOOTPRINTS:
            copies[footprint] += copy_rates(footprint * MIB)
        for name, precision, batch_size in trained:
            config = training(batch_size, max(1, window // batch_size), precision)
            seconds = seconds_per_step(network(name), images, config, num_windows=3)
            trained[name, precision, batch_size] += [second / batch_size for second in seconds]
        for inference in inferred:
            inferred[inference] += inference_seconds(*inference)
    limits = {
        "matrix_product_flops_per_second": {name: spread(rates) for name, rates in products.items()},
        "copy_bytes_per_second": [{"footprint_mib": size, **spread(rates)} for size, rates in copies.items()],
    }
    return limits, trained, inferred


@torch.inference_mode()
def inference_seconds(name: str, task: str, precision: str) -> list[float]:
    """Seconds of encoding or decoding all images, repeatedly; bfloat16 by torch's autocast."""
    model = network(name).eval()
    shape = model.event_shape if task == "encode" else (model.latent_dim,)
    batches = torch.rand(NUM_INFERRED, *shape).split(INFERENCE_BATCH_SIZES[task])
    call = model.encode if task == "encode" else model.decode
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        return timed(lambda: [call(batch).mean for batch in batches], 3)


def product_rates(dtype: torch.dtype) -> list[float]:
    """FLOPs per second of each of some matrix products."""
    first, second, out = (torch.rand(SIZE, SIZE).to(dtype) for _ in range(3))
    # As the layers multiply: on some processors PyTorch's own float32 product is not the fastest.
    if multiplies_by_onednn(first, second):
        return [2 * SIZE**3 / seconds for seconds in timed(lambda: onednn_product(first, second, None), 8)]
    return [2 * SIZE**3 / seconds for seconds in timed(lambda: torch.mm(first, second, out=out), 8)]


def copy_rates(footprint: int) -> list[float]:
    """Bytes read and written per second; small copies are repeated, so that the time is measurable."""
    source, target = (torch.ones(footprint // 2, dtype=torch.uint8) for _ in range(2))
    num_copies = max(1, 64 * MIB // footprint)

    def copy() -> None:
        for _ in range(num_copies):
            target.copy_(source)

    return [num_copies * footprint / seconds for seconds in timed(copy, 8)]


def cost(name: str) -> dict[str, Any]:
    """FLOPs and values of one image, by hand and by torch's counter."""
    model = network(name)
    layers = [*layers_of(model.encoder, 1, *model.event_shape), *layers_of(model.decoder, 1, model.latent_dim)]
    forward = sum(flops for flops, _ in layers)
    forward_counted, step_counted = counted(model)
    step = 3 * forward - layers[0][0]
    if (forward, step) != (forward_counted, step_counted):
        raise RuntimeError(
            f"{name}: {forward:,} and {step:,} FLOPs by hand, {forward_counted:,} and {step_counted:,} counted."
        )
    return {
        "parameters": count_parameters(model),
        "forward_flops_per_image": forward,
        "step_flops_per_image": step,
        "forward_flops_by_torch": forward_counted,
        "step_flops_by_torch": step_counted,
        "activations_per_image": sum(outputs for _, outputs in layers) + model.latent_dim,
        "pixels": math.prod(model.event_shape),
    }


def layers_of(body: nn.Module, *shape: int) -> Iterator[tuple[int, int]]:
    """FLOPs of the forward pass and number of outputs, for each layer with weights and one example."""
    rows: list[tuple[int, int]] = []

    def record(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        # A kernel is laid at each position of the output; of the input, where the convolution is transposed.
        at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        rows.append((2 * layer.weight.numel() * math.prod(at.shape[2:]), output.numel()))

    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    handles = [layer.register_forward_hook(record) for layer in body.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        body(torch.zeros(shape))
    for handle in handles:
        handle.remove()
    return iter(rows)


def counted(model: VAE) -> tuple[int, int]:
    """FLOPs of an image's forward pass and of its whole step, by torch's counter of plain operations."""
    choose_kernels(model, fast=False)
    x = torch.rand(1, *model.event_shape)
    with FlopCounterMode(display=False) as forward:
        loss = Objective()(model.sample_posterior(x, generator(0, "noise"))).value
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


def floor(machine: dict[str, Any], precision: str, flops: float, num_bytes: float) -> dict[str, Any]:
    """The minimum time in seconds for the given work, and the limiting resource."""
    rate = machine["matrix_product_flops_per_second"][precision]["max"]
    nearest = min(
        machine["copy_bytes_per_second"],
        key=lambda copied: abs(math.log(copied["footprint_mib"] * MIB / num_bytes)),
    )
    by_flops, by_bytes = flops / rate, num_bytes / nearest["max"]
    return {
        "flops": flops,
        "bytes": num_bytes,
        "footprint_of_copy_mib": nearest["footprint_mib"],
        "seconds_by_flops": by_flops,
        "seconds_by_bytes": by_bytes,
        "seconds": max(by_flops, by_bytes),
        "set_by": "FLOPs" if by_flops > by_bytes else "bytes",
    }


def reached(
    machine: dict[str, Any], name: str, precision: str, batch_size: int, seconds: list[float]
) -> dict[str, Any]:
    """Roofline bound, time and share of the roofline of one training."""
    needs, width = cost(name), PRECISIONS[precision].itemsize
    per_image = needs["pixels"] * (1 + 2 * width) + 4 * width * needs["activations_per_image"]
    num_bytes = STATE_PASSES * 4 * needs["parameters"] + batch_size * per_image
    least = floor(machine, precision, batch_size * needs["step_flops_per_image"], num_bytes)
    measured = spread([1e6 * second for second in seconds])
    floor_us = 1e6 * least["seconds"] / batch_size
    return {
        "network": name,
        "precision": precision,
        "batch_size": batch_size,
        "step": least,
        "floor_us_per_image": floor_us,
        "us_per_image": measured,
        "share_of_limit": floor_us / measured["median"],
        "share_of_limit_at_best": floor_us / measured["min"],
        "gflops_per_second": needs["step_flops_per_image"] / measured["median"] / 1e3,
    }


def reached_in_inference(
    machine: dict[str, Any], name: str, task: str, precision: str, seconds: list[float]
) -> dict[str, Any]:
    """Bound and time of encoding or decoding 10,000 images: weights read once, values written and read once."""
    model, width = network(name), PRECISIONS[precision].itemsize
    body, shape = (model.encoder, model.event_shape) if task == "encode" else (model.decoder, (model.latent_dim,))
    layers = list(layers_of(body, 1, *shape))
    values = math.prod(shape) + sum(outputs for _, outputs in layers)
    num_bytes = width * count_parameters(body) + NUM_INFERRED * 2 * width * values
    least = floor(machine, precision, NUM_INFERRED * sum(flops for flops, _ in layers), num_bytes)
    measured = spread(seconds)
    return {
        "network": name,
        "task": task,
        "precision": precision,
        "num_images": NUM_INFERRED,
        "batch_size": INFERENCE_BATCH_SIZES[task],
        **least,
        "seconds_measured": measured,
        "share_of_limit": least["seconds"] / measured["median"],
    }


def table(figures: dict[str, Any]) -> str:
    """Tables of the machine, the networks, and training and inference with their roofline bounds."""
    tables = (machine_table, cost_table, training_table, inference_table, source)
    return "\n\n".join(part(figures) for part in tables)


def machine_table(figures: dict[str, Any]) -> str:
    limits = figures["machine_limits"]
    rows = [
        (f"{SIZE}² matrix product, {name}, GFLOP/s", digits(rate["max"] / 1e9), with_quartiles(rate, 1e9))
        for name, rate in limits["matrix_product_flops_per_second"].items()
    ]
    rows += [
        (
            f"copy, footprint {rate['footprint_mib']:,} MiB, GB/s",
            digits(rate["max"] / 1e9),
            with_quartiles(rate, 1e9),
        )
        for rate in limits["copy_bytes_per_second"]
    ]
    return markdown(("capability of the machine", "best", "median (quartiles)"), rows)


def cost_table(figures: dict[str, Any]) -> str:
    rows = [
        (
            name,
            f"{needs['parameters']:,}",
            digits(needs["forward_flops_per_image"] / 1e6),
            digits(needs["step_flops_per_image"] / 1e6),
            f"{needs['activations_per_image']:,}",
        )
        for name, needs in figures["networks"].items()
    ]
    columns = ("network", "parameters", "MFLOP forward", "MFLOP in a training step", "activations")
    return markdown((*columns[:2], *(f"{column}, per image" for column in columns[2:])), rows)


def training_table(figures: dict[str, Any]) -> str:
    rows = [
        (
            f"{case['network']}, {case['precision']}, {case['batch_size']}",
            digits(case["floor_us_per_image"]),
            case["step"]["set_by"],
            with_quartiles(case["us_per_image"]),
            f"{100 * case['share_of_limit']:.0f}",
        )
        for case in figures["training"]
    ]
    bound, measured = "roofline bound, µs per image", "measured, µs per image (quartiles)"
    return markdown(("training, precision, batch size", bound, "set by", measured, "% of roofline"), rows)


def inference_table(figures: dict[str, Any]) -> str:
    rows = [
        (
            f"{case['task']}, {case['network']}, {case['precision']}",
            digits(1e3 * case["seconds"]),
            case["set_by"],
            with_quartiles(case["seconds_measured"], 1e-3),
            f"{100 * case['share_of_limit']:.0f}",
        )
        for case in figures["inference"]
    ]
    columns = (f"{NUM_INFERRED:,} images, precision", "roofline bound, ms", "set by", "measured, ms (quartiles)")
    return markdown((*columns, "% of roofline"), rows)


if __name__ == "__main__":
    main()
