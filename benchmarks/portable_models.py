"""Exported ONNX files compared with the model: deviations of their outputs, and speed of ONNX Runtime.

    LOWERBOUND_DATA=DIR python benchmarks/portable_models.py RUN ... [--images 1000] [--rounds 7] [--threads 1]

Deviations are over the first test images of each run: the largest absolute difference, the largest relative one
(absolute below 1), and the relative one of PyTorch's single precision from its double. Times: encoder and decoder at 1
and 256 examples, both with the same number of threads, alternating; for each round the speed-up of ONNX Runtime over
PyTorch. Writes benchmarks/results/MACHINE/portable_models.json.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from measuring import digits, markdown, source, spread, timed, with_quartiles, write_figures

from lowerbound.data.batches import scaled
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.networks.onnx_export import export_copy
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.portable.onnx_form import onnx_bytes
from lowerbound.serving.portable.parity import deviation
from lowerbound.serving.portable.parts import Part, parts_of
from lowerbound.training.checkpoint import load_model

BATCH_SIZES = (1, 256)
SECONDS_OF_A_ROUND = 0.3

Inputs = dict[str, torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, Any] = {"onnxruntime": onnxruntime.__version__, "deviations": [], "times": []}
    for run in arguments.runs:
        model = load_model(run)
        inputs = inputs_of(run, model, arguments.images)
        precise = parts_of(deepcopy(model).double())
        for plain, part, exact in zip(parts_of(export_copy(model)), parts_of(model), precise, strict=True):
            compute = computation(plain, arguments.threads)
            about = {"run": str(run), "part": part.name}
            figures["deviations"] += [about | row for row in deviations(compute, part, exact, inputs)]
            if part.name != "vae":
                figures["times"] += [about | row for row in times(compute, part, inputs, arguments.rounds)]
    path, figures = write_figures("portable_models", figures)
    print(tables(figures), source(figures), path, sep="\n\n")


@torch.no_grad()
def inputs_of(run: Path, model: VAE, num_images: int) -> Inputs:
    """Test images of a run, draws from their posteriors, and noise."""
    examples = own_splits(run).test
    x = scaled(examples.subset(np.arange(min(num_images, len(examples)))))
    stream = generator(0, "portable models")
    noise = torch.randn(len(x), model.latent_dim, generator=stream)
    return {"x": x, "z": model.encode(x).sample(stream, 1)[0], "noise": noise}


def computation(plain: Part, num_threads: int) -> Callable[[Inputs], list[np.ndarray]]:
    """The outputs of a part computed by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(onnx_bytes(plain), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {name: inputs[name].numpy() for name in plain.inputs})


def deviations(
    compute: Callable[[Inputs], list[np.ndarray]], part: Part, exact: Part, inputs: Inputs
) -> list[dict[str, Any]]:
    """Deviations of each output, over all images."""
    references = part(inputs)
    doubles = exact({name: value.double() for name, value in inputs.items()})
    computed = dict(zip(references, map(torch.from_numpy, compute(inputs)), strict=True))
    return [
        {
            "output": name,
            "absolute": float((computed[name].double() - reference.double()).abs().max()),
            "relative": deviation(computed[name], reference),
            "from_double": deviation(computed[name], doubles[name]),
            "pytorch_from_double": deviation(reference, doubles[name]),
        }
        for name, reference in references.items()
    ]


def times(
    compute: Callable[[Inputs], list[np.ndarray]], part: Part, inputs: Inputs, num_rounds: int
) -> list[dict[str, Any]]:
    """Seconds of a call on both sides, alternating."""
    rows = []
    for batch_size in BATCH_SIZES:
        few = {name: value[:batch_size].clone() for name, value in inputs.items()}
        sides = {"onnxruntime": lambda few=few: compute(few), "pytorch": lambda few=few: part(few)}
        num_calls = max(5, int(SECONDS_OF_A_ROUND / median(timed(sides["pytorch"], 5))))
        rounds = [{name: median(timed(action, num_calls)) for name, action in sides.items()} for _ in range(num_rounds)]
        row = {name: spread([seconds[name] for seconds in rounds]) for name in sides}
        ratio = spread([seconds["pytorch"] / seconds["onnxruntime"] for seconds in rounds])
        rows.append({"batch_size": batch_size, **row, "times_as_fast": ratio})
    return rows


def tables(figures: dict[str, Any]) -> str:
    """Both tables, in markdown."""
    columns = ("run", "file", "output", "absolute", "relative", "from double", "PyTorch from double")
    keys = ("absolute", "relative", "from_double", "pytorch_from_double")
    apart = [
        (row["run"], row["part"], row["output"], *(f"{row[key]:.1e}" for key in keys)) for row in figures["deviations"]
    ]
    fast = [
        (
            row["run"],
            row["part"],
            str(row["batch_size"]),
            digits(1e3 * row["pytorch"]["median"]),
            digits(1e3 * row["onnxruntime"]["median"]),
            f"{with_quartiles(row['times_as_fast'])}×",
        )
        for row in figures["times"]
    ]
    return "\n\n".join(
        (
            markdown(columns, apart),
            markdown(("run", "file", "examples", "PyTorch, ms", "ONNX Runtime, ms", "speed-up"), fast),
        )
    )


if __name__ == "__main__":
    main()
