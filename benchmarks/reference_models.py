"""Both reference texts' models and this project's `conv` on MNIST, in one run: curves, bounds and wall times.

    LOWERBOUND_DATA=DIR python benchmarks/reference_models.py --out runs/reference

Writes benchmarks/results/reference_models.json. The three are trained one after another on the same machine; the
ratio of their wall times is what counts, not the seconds.
"""

import argparse
from pathlib import Path
from typing import Any

import lowerbound as lb
from lowerbound.run import Audience, Run
from lowerbound.storage import write_json

RECIPES = ("tutorial-conv", "conv", "tutorial-dense")
RESULTS = Path(__file__).parent / "results" / "reference_models.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/reference"))
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    arguments = parser.parse_args()
    measured = {name: measure(name, arguments.out / name) for name in arguments.recipes}
    content: dict[str, Any] = {"machine": next(iter(measured.values()))["machine"], "recipes": measured}
    if {"conv", "tutorial-conv"} <= measured.keys():
        content["wall time of conv / tutorial-conv"] = (
            measured["conv"]["seconds"] / measured["tutorial-conv"]["seconds"]
        )
    write_json(RESULTS, content)
    print(RESULTS)


def measure(recipe: str, path: Path) -> dict[str, Any]:
    """Train one recipe and sum it up."""
    audience = Audience(
        progress=lambda record: print(recipe, record.epoch, record.validation) if record.validation else None
    )
    return summed_up(lb.train("mnist", recipe=recipe, out=path, audience=audience))


def summed_up(run: Run) -> dict[str, Any]:
    """The curve of the watched split in nats, the held-out scores, and the wall seconds of training."""
    history = run.results.history
    return {
        "curve": [
            {name: round(record["validation"][name], 3) for name in ("elbo", "rate", "distortion")}
            for record in history
        ],
        "best_epoch": history[-1]["best_epoch"],
        "best_watched_elbo": max(record["validation"]["elbo"] for record in history),
        "watched": run.results.context["data"]["watched"],
        "seconds": round(history[-1]["seconds"], 1),
        "scores": {
            f"{score.name}, {score.split}": [score.value, score.standard_error, score.num_draws]
            for score in run.results.scores
        },
        "machine": run.results.context["machine"],
    }


if __name__ == "__main__":
    main()
