"""Growth with the data and with the ranks: packed against resident, and a model of the time of a step on n ranks.

    python benchmarks/scaling.py               about 25 minutes on an idle machine
    python benchmarks/scaling.py --parts sizes
    python benchmarks/scaling.py --quick       a trial

Sizes: examples of 8 × 8 bytes, 10^3 to 10^7 of them, in memory and packed; each in a process of its own.

Ranks: before any training on several ranks is timed, the model is fitted: C(b), the time of a step of b examples in one
process with one thread, for b = B, B/2, B/3, B/4; and the time of a sum over two processes of vectors of several sizes,
which gives a latency and a bandwidth. Then 2, 3 and 4 ranks are measured and compared with

    T(n) = max(1, n / cores) · (C(B/n) + 2 (n - 1) a + 2 (n - 1)/n · bytes / w).

Curves: the training records of 1, 2 and 4 ranks at the same batch, as a figure.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measuring import (
    alone,
    digits,
    markdown,
    noise_images,
    resident_mib,
    results_folder,
    seconds_per_step,
    source,
    write_figures,
)

import lowerbound as lb
from lowerbound.data.batches import Batches
from lowerbound.data.block_order import Blocks, EpochOrder
from lowerbound.data.examples import Examples
from lowerbound.data.sources import DataConfig, Splits, load
from lowerbound.foundation import distributed
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.shares import Share
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.layers import count_parameters
from lowerbound.objectives.objective import Objective
from lowerbound.runs.experiment import resolve
from lowerbound.training.config import TrainingConfig

SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
RECIPES = ("dense", "conv", "tutorial-dense", "tutorial-conv")
RANKS = (2, 3, 4)
NUM_CURVE_EPOCHS = 3
VECTORS = (1, 10_000, 100_000, 1_000_000, 4_000_000)  # numbers of 4 bytes
CURVES = Path(__file__).parents[1] / "docs" / "images" / "rank-curves.png"


class Cycled:
    """So many examples, which repeat a thousand."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.distinct = np.random.default_rng(0).integers(0, 17, (1000, 8, 8, 1), dtype=np.uint8)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(*key.indices(self.num_rows)) if isinstance(key, slice) else np.asarray(key)
        return self.distinct[rows % 1000]


def of_size(num_rows: int, folder: str, is_packed: bool, num_steps: int) -> dict[str, float]:
    """Rate of training a small dense network at batch 128, and the memory that opening the data and training take."""
    torch.set_num_threads(1)
    before = resident_mib("VmRSS")
    if is_packed:
        splits = load(DataConfig(source=folder))
    else:
        few = Examples(Cycled(1000)[0:100], 16.0)
        train = Examples(Cycled(num_rows)[0:num_rows], 16.0)
        splits = Splits("rows", train, few, few, (), "validation", "rows", "", "")
    model = build_model(ModelConfig(network="dense", hidden=(64,)), (1, 8, 8), generator(0, "weights"))
    window = max(1, min(100, len(splits.train) // 128 // 4))
    config = TrainingConfig(num_epochs=10**6, batch_size=128, log_every=window)
    started = time.perf_counter()
    batches = iter(Batches(splits.train, 128).shuffled(0, 0))
    next(batches)
    first = time.perf_counter() - started
    del batches
    seconds = seconds_per_step(model, splits, config, max(4, num_steps // window))
    return {
        "rows": len(splits.train),
        "examples_per_second": 128 / median(seconds),
        "seconds_to_first_batch": first,
        "memory_mib": resident_mib("VmHWM") - before,
    }


def sizes(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Both forms of the data for each size, alternating."""
    found = []
    for num_rows in SIZES[:3] if arguments.quick else SIZES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            settings = {"data": {"layout": "image", "range": [0.0, 16.0]}}
            packed = f"{folder}/packed"
            held_out = min(100, num_rows // 10)
            lb.pack(Cycled(num_rows + 2 * held_out), packed, settings=settings, validation=held_out, test=held_out)
            for is_packed in (False, True):
                found.append({"packed": is_packed, **alone(of_size, num_rows, packed, is_packed, 500)})
                print(found[-1], flush=True)
    return found


def recipe_model(name: str) -> tuple[Any, Objective, TrainingConfig]:
    """The model of a recipe for MNIST, with its objective and training."""
    experiment = resolve(name)
    return (
        build_model(experiment.model, (1, 28, 28), generator(0, "weights")),
        experiment.objective,
        experiment.training,
    )


def step_seconds(name: str, batch_size: int, num_windows: int) -> float:
    """Median time of a step in one process with one thread, in windows of ten steps."""
    torch.set_num_threads(1)
    model, objective, training = recipe_model(name)
    config = TrainingConfig(
        num_epochs=10**6,
        batch_size=batch_size,
        log_every=10,
        optimiser=training.optimiser,
        max_gradient_norm=training.max_gradient_norm,
    )
    return median(seconds_per_step(model, noise_images(batch_size * 100), config, num_windows, objective))


def ranks_job(name: str, batch_size: int, num_windows: int) -> None:
    """On a rank: the same, of all ranks together; the first prints it."""
    torch.set_num_threads(1)
    distributed.join()
    seconds = step_seconds(name, batch_size, num_windows)
    distributed.texts("")  # no rank ends while another still reads from it
    print(json.dumps({"seconds": seconds}) if distributed.is_writer() else "")


def sums_job() -> None:
    """On a rank: the time of sums of vectors over all ranks."""
    torch.set_num_threads(1)
    distributed.join()
    found = {}
    for size in VECTORS:
        vector, seconds = torch.ones(size), []
        for _ in range(60 if size < 10**6 else 20):
            started = time.perf_counter()
            distributed.add_up(vector)
            seconds.append(time.perf_counter() - started)
        found[4 * size] = median(seconds[5:])
    distributed.texts("")
    if distributed.is_writer():
        print(json.dumps(found))


def on_ranks(num_ranks: int, *words: str) -> dict[str, Any]:
    """What a job prints on the first of several ranks."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_ranks}"]
    done = subprocess.run(
        [*command, __file__, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def fitted(seconds: dict[int, float]) -> tuple[float, float]:
    """Latency a and bandwidth w of a sum over two processes, 2 a + bytes / w, by least squares of relative errors."""
    num_bytes = np.array([int(size) for size in seconds], np.float64)
    taken = np.array(list(seconds.values()))
    design = np.stack([2 * np.ones_like(num_bytes), num_bytes], 1) / taken[:, None]
    (latency, inverse), *_ = np.linalg.lstsq(design, np.ones_like(taken), rcond=None)
    return float(latency), float(1 / inverse)


def predicted(compute: float, num_ranks: int, num_bytes: int, latency: float, bandwidth: float, cores: int) -> float:
    """T(n): see the docstring of this file."""
    exchange = 2 * (num_ranks - 1) * latency + 2 * (num_ranks - 1) / num_ranks * num_bytes / bandwidth
    return max(1.0, num_ranks / cores) * (compute + exchange)


def ranks(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fit, the predictions, and then the measurements."""
    names = RECIPES[:1] if arguments.quick else RECIPES
    num_windows, cores = (3, os.cpu_count() or 1) if arguments.quick else (30, os.cpu_count() or 1)
    latency, bandwidth = fitted(on_ranks(2, "--job", "sums"))
    print(f"latency {latency * 1e6:.0f} µs, bandwidth {bandwidth / 1e9:.2f} GB/s", flush=True)
    found: dict[str, Any] = {"latency": latency, "bandwidth": bandwidth, "cores": cores, "recipes": {}}
    for name in names:
        model, _, training = recipe_model(name)
        num_bytes, whole = 4 * count_parameters(model), training.batch_size
        compute = {n: alone(step_seconds, name, math.ceil(whole / n), num_windows) for n in (1, *RANKS)}
        foretold = {n: predicted(compute[n], n, num_bytes, latency, bandwidth, cores) for n in RANKS}
        found["recipes"][name] = {
            "batch_size": whole,
            "bytes": num_bytes,
            "compute": compute,
            "predicted": foretold,
            "largest": largest_useful(compute, whole, num_bytes, latency, bandwidth),
        }
        print(name, found["recipes"][name], flush=True)
    for name, about in found["recipes"].items():
        about["measured"] = {
            n: on_ranks(n, "--job", "steps", name, str(about["batch_size"]), str(num_windows))["seconds"] for n in RANKS
        }
        print(name, about["measured"], flush=True)
    return found


def largest_useful(
    compute: dict[int, float], batch_size: int, num_bytes: int, latency: float, bandwidth: float
) -> dict[str, int]:
    """The most ranks, each with a core of its own, whose efficiency is at least one half; those of the fastest step.

    C(b) between and below what was measured is c0 + c1 b, by least squares.
    """
    sizes = np.array([math.ceil(batch_size / n) for n in compute], np.float64)
    slope, base = np.polyfit(sizes, list(compute.values()), 1)
    base = max(0.0, base)
    candidates = range(1, batch_size + 1)
    taken = {n: predicted(base + slope * batch_size / n, n, num_bytes, latency, bandwidth, n) for n in candidates}
    efficient = [n for n in candidates if taken[1] / (n * taken[n]) >= 0.5]
    return {"half_efficient": max(efficient), "fastest": min(taken, key=taken.__getitem__)}


def curves(arguments: argparse.Namespace) -> dict[str, Any]:
    """Training records of `dense` on the digits with 1, 2 and 4 ranks, in one figure."""
    found: dict[str, list[list[float]]] = {}
    for number in (1, 2, 4):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            out = f"{folder}/run"
            if number == 1:
                curve_job(out)
            else:
                on_ranks(number, "--job", "curve", out)
            lines = [json.loads(line) for line in Path(out, "metrics.jsonl").read_text().splitlines()]
            found[str(number)] = [[line["step"], -line["train"]["elbo"]] for line in lines if not line["validation"]]
    one = np.array(found["1"])[:, 1]
    largest = {n: float(np.abs(np.array(found[n])[:, 1] / one - 1).max()) for n in ("2", "4")}
    _draw(found)
    return {"largest_relative_difference": largest, "steps": len(one)}


def amplification(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Blocks read by all ranks in an epoch, over the blocks of the split: counted from the order, without reading."""
    found = []
    for num_rows, batch_size in ((10**5, 128), (10**7, 32), (10**7, 128), (10**7, 1024)):
        blocks = Blocks(rows_of_shards=(num_rows,), block_rows=256)
        order = EpochOrder(blocks, batch_size, 256 * 784, seed=0, epoch=0)
        for num_ranks in (1, 2, 3, 4, 8, 16, 64):
            num_read = sum(_blocks_of(order, Share(rank, num_ranks)) for rank in range(num_ranks))
            about = {"rows": num_rows, "batch_size": batch_size, "lanes": order.lanes, "ranks": num_ranks}
            found.append(about | {"amplification": num_read / len(blocks.sizes)})
    return found


def _blocks_of(order: EpochOrder, share: Share) -> int:
    """Blocks that a rank reads: those of the windows of its lanes, and those of the last batch."""
    own = share.rows(order.batch_size)
    lanes = range(own.start // order.rows_per_lane, -(-own.stop // order.rows_per_lane))
    windows = (window for lane in lanes for window in order.windows(lane))
    return sum(1 for part in (*windows, order.tail) for _ in order.pieces(part))


def curve_job(out: str) -> None:
    """On a rank: a short training with a record for every step."""
    torch.set_num_threads(1)
    training = {"num_epochs": NUM_CURVE_EPOCHS, "min_steps": 0, "batch_size": 128, "log_every": 1}
    lb.train("digits", recipe="dense", out=out, settings={"training": training})
    if distributed.is_writer():
        print("{}")


def _draw(found: dict[str, list[list[float]]]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    styles = {"1": ("#b9c6d8", 6.0, "-"), "2": ("#1f4e79", 2.0, "-"), "4": ("#d9822b", 1.4, ":")}
    for number, curve in found.items():
        colour, width, style = styles[number]
        ranks = "1 process" if number == "1" else f"{number} ranks"
        axes.plot(*np.array(curve).T, color=colour, linewidth=width, linestyle=style, label=ranks)
    axes.set_xlabel("step")
    axes.set_ylabel("−ELBO, mean over the epoch so far (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(CURVES, dpi=160)


def tables(figures: dict[str, Any]) -> str:
    """Both parts as Markdown."""
    parts = []
    if "sizes" in figures:
        rows = figures["sizes"]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        columns = ("training examples", "examples/s in memory", "packed", "memory (MiB)", "packed")
        cells = [
            (
                f"{packed['rows']:,}",
                *(digits(one["examples_per_second"]) for one in (resident, packed)),
                *(digits(one["memory_mib"]) for one in (resident, packed)),
            )
            for resident, packed in pairs
        ]
        parts.append(markdown(columns, cells))
    if "ranks" in figures:
        columns = ("recipe", "ranks", "predicted (ms)", "measured (ms)", "error", "speed-up")
        cells = []
        for name, about in figures["ranks"]["recipes"].items():
            whole = about["compute"][str(1)]
            cells.append((f"{name}, batch {about['batch_size']}", "1", "", digits(1e3 * whole), "", ""))
            for number, measured in about["measured"].items():
                told = about["predicted"][number]
                error = f"{100 * (told / measured - 1):+.0f} %"
                cells.append(("", number, digits(1e3 * told), digits(1e3 * measured), error, digits(whole / measured)))
        parts.append(markdown(columns, cells))
    if "amplification" in figures:
        counted = figures["amplification"]
        numbers = sorted({one["ranks"] for one in counted})
        keys = sorted({(one["rows"], one["batch_size"], one["lanes"]) for one in counted})
        by_key = {(one["rows"], one["batch_size"], one["ranks"]): one["amplification"] for one in counted}
        cells = [
            (f"{rows:,}, {size:,}, {lanes}", *(f"{by_key[rows, size, number]:.2f}" for number in numbers))
            for rows, size, lanes in keys
        ]
        parts.append(markdown(("rows, batch, lanes", *(f"{number} ranks" for number in numbers)), cells))
    return "\n\n".join([*parts, source(figures)])


PARTS = {"sizes": sizes, "ranks": ranks, "curves": curves, "amplification": amplification}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write benchmarks/results/MACHINE/scaling.json; parts that are left out keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--folder", default=None, help="where temporary data go")
    parser.add_argument("--quick", action="store_true", help="a trial")
    parser.add_argument("--job", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.job:
        name, *given = arguments.job
        if name == "sums":
            sums_job()
        elif name == "curve":
            curve_job(given[0])
        else:
            ranks_job(given[0], int(given[1]), int(given[2]))
        return
    path = results_folder() / "scaling.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    figures = {name: before[name] for name in PARTS if name in before}
    for name in arguments.parts:
        figures[name] = PARTS[name](arguments)
    if not arguments.quick:
        path, _ = write_figures("scaling", figures)
        print(tables(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
