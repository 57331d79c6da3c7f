"""Cost of the exact evidence of a run's test images: time, cells, memory, and convergence with the tolerance.

    LOWERBOUND_DATA=DIR python benchmarks/exact_evidence.py runs/reference/conv runs/reference/dense

Every setting runs in its own process of one thread, one at a time, so that its peak memory is measured separately.
Memory is that of the sums beyond model and data, from Linux's peak of the resident set, which is reset
once both are loaded. Writes benchmarks/results/MACHINE/exact_evidence.json.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from measuring import write_figures

from lowerbound.data.sources import Examples
from lowerbound.evaluation import lattice, quadrature
from lowerbound.foundation.numerics import mean_and_standard_error
from lowerbound.runs.run_data import own_splits
from lowerbound.training.checkpoint import load_model

TOLERANCES = (1e-1, 1e-2, 1e-3)  # nats
PAIRS_PER_TABLE = (512, 2048, 8192, 32768)
CELLS_PER_AXIS = (8, 16, 32)
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One measurement; pairs summed at once and cells along a tile's edge default to the library's values."""

    path: str
    num_images: int
    tolerance: float
    pairs_per_table: int = lattice.PAIRS_PER_TABLE
    cells_per_axis: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--num-images", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/exact_evidence.json")
    arguments = parser.parse_args()
    # Each task has its own worker process, so that its peak memory is measured separately.
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        measured = {path: measure_run(pool, path, sorted(arguments.num_images)) for path in arguments.runs}
    figures = {"threads": 1, "memory": "MiB beyond model and data", "runs": measured}
    path, _ = write_figures("exact_evidence", figures, arguments.out)
    print(path)


def measure_run(pool: Any, path: str, nums_images: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Cost by number of images and tolerance; memory by the pairs summed at once, and by the grid."""
    cost = [
        Setting(path=path, num_images=num_images, tolerance=tolerance)
        for num_images, tolerance in product(nums_images, TOLERANCES)
    ]
    middle = {"path": path, "num_images": nums_images[len(nums_images) // 2], "tolerance": 1e-2}
    batch = [Setting(**middle, pairs_per_table=pairs) for pairs in PAIRS_PER_TABLE]
    grid = [Setting(**middle, cells_per_axis=cells) for cells in CELLS_PER_AXIS]
    return {
        "cost": with_changes(pool.map(measure, cost, chunksize=1)),
        "memory by pairs summed at once": pool.map(measure, batch, chunksize=1),
        "memory by cells along a tile's edge": pool.map(measure, grid, chunksize=1),
    }


def measure(setting: Setting) -> dict[str, Any]:
    """Integrate once."""
    torch.set_num_threads(1)
    path = Path(setting.path)
    model = load_model(path)
    test = own_splits(path).test
    examples = Examples(test.values[: setting.num_images], test.max_value)
    lattice.PAIRS_PER_TABLE = setting.pairs_per_table
    if setting.cells_per_axis is not None:
        lattice.CELLS_PER_AXIS[model.latent_dim] = setting.cells_per_axis
    Path("/proc/self/clear_refs").write_text("5")
    loaded, wall, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
    result = quadrature.exact_evidence(model, examples, setting.tolerance)
    seconds = time.perf_counter() - wall
    evidence = mean_and_standard_error(result.log_evidence)
    record = asdict(setting) | {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "microseconds_per_image": round(1e6 * seconds / setting.num_images),
        "peak_mib": round((resident("VmHWM") - loaded) / MIB, 1),
        "cells_decoded": result.num_decoded,
        "pairs_evaluated": result.num_evaluated,
        "mean_log_evidence": evidence.value,
        "standard_error": evidence.standard_error,
        "mean_discretisation_error": float(result.discretisation_error.mean()),
        "greatest_discretisation_error": float(result.discretisation_error.max()),
        "not_converged": result.num_not_converged,
        "greatest_truncation_error": float(result.truncation_error.max()),
    }
    print(*(f"{name} {value}" for name, value in record.items()), sep="  ", flush=True)
    return record


def resident(field: str) -> int:
    """Memory in bytes: VmRSS is the current resident set, VmHWM its peak since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def with_changes(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each record with the change of the mean evidence from the previous tolerance, in nats."""
    for before, after in pairwise(records):
        if before["num_images"] == after["num_images"]:
            after["change_of_mean"] = after["mean_log_evidence"] - before["mean_log_evidence"]
    return records


if __name__ == "__main__":
    main()
