"""Shared by the benchmarks of speed and memory: networks, images, timing of the real loop, results as JSON.

Times come from `lowerbound.training_steps` itself: a window is the time between two of its records, within one pass
over the data. Where several things are measured in several rounds, the rounds alternate between them, so
that slow periods of the machine affect all of them. Peak memory is Linux's, of a process that does one thing.
"""

import math
import os
import platform
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lowerbound
from lowerbound.data.sources import Examples, Splits
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text_files import write_json
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.loop import training_steps
from lowerbound.training.state import machine

MIB = 2**20
RESULTS = Path(__file__).parent / "results"
FAMILIES = ("xeon", "epyc")
LOAD_BEFORE = os.getloadavg()[0]  # runnable processes, mean over the minute before this one started
HIDDEN = {"conv": (16,), "dense": (512,)}  # as the recipes of these names have it
MAX_GRADIENT_NORM = 1000.0  # as in the recipes
NUM_DISTINCT = 1000  # random images; larger data sets repeat them
NUM_WATCHED = 100
NUM_WARM_UP_STEPS = 5


def network(name: str, side: int = 28, latent_dim: int = 2) -> VAE:
    """A new model of the recipe `name`, for grey images of side × side."""
    config = ModelConfig(network=name, hidden=HIDDEN[name], latent_dim=latent_dim)
    return build_model(config, (1, side, side), generator(0, "weights"))


def noise_images(num_images: int, side: int = 28) -> Splits:
    """Random bytes as training images; a few of them are the validation split."""
    distinct = np.random.default_rng(0).integers(0, 256, (NUM_DISTINCT, side, side, 1), dtype=np.uint8)
    train = Examples(distinct[np.arange(num_images) % NUM_DISTINCT], max_value=255.0)
    few = Examples(distinct[:NUM_WATCHED], max_value=255.0)
    return Splits(
        name="noise",
        train=train,
        validation=few,
        test=few,
        label_names=(),
        monitored="validation",
        source="random bytes",
        binarisation="",
        checksum="",
    )


def training(batch_size: int, window: int, precision: str = "float32") -> TrainingConfig:
    """Unlimited fast training as in the recipes, with a record every `window` steps."""
    return TrainingConfig(
        num_epochs=1_000_000,
        batch_size=batch_size,
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_every=window,
        speed="fast",
        precision=precision,
    )


def seconds_per_step(
    model: VAE,
    splits: Splits,
    config: TrainingConfig,
    num_windows: int,
    objective: Objective | None = None,
    device: str = "cpu",
) -> list[float]:
    """Mean seconds of a step in each of `num_windows` windows of the loop, after warm-up windows."""
    windows = _windows(model, splits, config, objective or Objective(), device)
    num_before = math.ceil(NUM_WARM_UP_STEPS / config.log_every)
    return list(islice(windows, num_before, num_before + num_windows))


def _windows(model: VAE, splits: Splits, config: TrainingConfig, objective: Objective, device: str) -> Iterator[float]:
    before = None
    for record in training_steps(model, splits, objective, config, device=device):
        is_within_a_pass = record.validation is None
        if is_within_a_pass and before is not None:
            yield (record.seconds - before.seconds) / (record.step - before.step)
        before = record if is_within_a_pass else None


def timed(action: Callable[[], object], num_repeats: int) -> list[float]:
    """Seconds of each of `num_repeats` calls, after a warm-up call."""
    action()
    seconds = []
    for _ in range(num_repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function` in a separate process, so that its peak memory is measured alone."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def resident_mib(field: str) -> float:
    """Memory of this process: VmRSS is the current resident set, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1]) / MIB


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles and extremes of repeated measurements, and the values themselves."""
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {
        "median": statistics.median(values),
        "lower_quartile": lower,
        "upper_quartile": upper,
        "min": min(values),
        "max": max(values),
        "values": list(values),
    }


def machine_name(processor: str, has_amx: bool) -> str:
    """What the results of a machine are filed under: its family of processors, with AMX or without, like "xeon-amx"."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", "", processor.lower()))
    family = next((family for family in FAMILIES if family in words), "-".join(words) or "unknown")
    return f"{family}-amx" if has_amx else family


def results_folder() -> Path:
    """The folder of this machine's results."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_amx = any(capabilities.get(name, False) for name in ("amx_tile", "amx_bf16"))
    return RESULTS / machine_name(machine("cpu")["processor"], has_amx)


def write_figures(name: str, figures: dict[str, Any], out: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Write measurements to results/MACHINE/NAME.json with command, versions and machine; returns path and content."""
    path = out or results_folder() / f"{name}.json"
    context = {
        "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
        "versions": {
            "lowerbound": lowerbound.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": machine("cpu"),
        "load_average_before": LOAD_BEFORE,
    }
    write_json(path, context | figures)
    return path, context | figures


def source(figures: dict[str, Any]) -> str:
    """Provenance of measurements: command, machine, versions."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    return f"`{figures['command']}`: {machine['processor']}, {machine['threads']} thread(s); {versions}."


def digits(value: float, num_digits: int = 3) -> str:
    """A number with the given number of significant digits, without exponent."""
    if value == 0:
        return "0"
    decimals = max(0, num_digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def with_quartiles(measured: dict[str, Any], unit: float = 1.0) -> str:
    """Median (lower quartile to upper quartile), in units of `unit`."""
    median, *quartiles = (digits(measured[key] / unit) for key in ("median", "lower_quartile", "upper_quartile"))
    return f"{median} ({' to '.join(quartiles)})"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns except the first are right-aligned."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))
