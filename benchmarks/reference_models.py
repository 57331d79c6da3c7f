"""The models of both tutorials and `conv` on MNIST in one run: curves, bounds and wall times.

    LOWERBOUND_DATA=DIR python benchmarks/reference_models.py --out runs/reference

Two recipes at a time are trained in parallel in processes of one thread each, so that the ratio of their wall times
is measured under the same conditions. Writes benchmarks/results/MACHINE/reference_models.json.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from measuring import write_figures

import lowerbound as lb
from lowerbound.foundation.progress import Progress
from lowerbound.runs.finished_run import Run
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import Callbacks

RECIPES = ("tutorial-conv", "conv", "tutorial-dense", "dense")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/reference"))
    out = parser.parse_args().out
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        measured = dict(zip(RECIPES, pool.map(measure, RECIPES, [out / name for name in RECIPES]), strict=True))
    seconds = {name: figures["seconds"] for name, figures in measured.items()}
    ratios = {"wall time of conv / tutorial-conv": seconds["conv"] / seconds["tutorial-conv"]}
    path, _ = write_figures("reference_models", {"ratios": ratios, "recipes": measured})
    print(path)


def measure(recipe: str, path: Path) -> dict[str, Any]:
    """Train one recipe and summarise it."""
    torch.set_num_threads(1)

    def show(progress: Progress) -> None:
        if progress.validation is not None:
            print(f"{recipe} {progress.epoch} {progress.validation.elbo:.2f}", flush=True)

    command = f"lowerbound train mnist --recipe {recipe}"
    lb.train("mnist", recipe=recipe, out=path, command=command, callbacks=Callbacks(progress=show))
    return summed_up(reevaluate(path))


def summed_up(run: Run) -> dict[str, Any]:
    """The curve of the monitored split in nats, the scores with errors, and the wall time of training in seconds."""
    history = run.results.history
    terms = ("elbo", "rate", "distortion")
    return {
        "curve": [{name: round(record["validation"][name], 3) for name in terms} for record in history],
        "best_epoch": history[-1]["best_epoch"],
        "best_validation_elbo": max(record["validation"]["elbo"] for record in history),
        "monitored": run.results.context["data"]["monitored"],
        "seconds": round(history[-1]["seconds"], 1),
        "scores": {
            f"{score.name}, {score.split}": [score.value, score.standard_error, score.num_draws]
            for score in run.results.scores
        },
        "seed": run.results.context["seed"],
        "machine": run.results.context["machine"],
    }


if __name__ == "__main__":
    main()
