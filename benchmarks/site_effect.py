"""Whether conditioning removes a planted effect of sites from the latents, and keeps the signal.

    python benchmarks/site_effect.py [--seeds 3] [--epochs 500]

A table of 4,000 rows and 12 numeric columns: two shared factors, a signal (case or control), the effect of one of three
sites, which shifts all columns, and noise. One model is given the site (model.condition_on), another one is not; both
have the same sizes and seeds. On test rows, the accuracy of logistic regression from posterior means for the site and
for the signal, with binomial standard errors, and that of always guessing the most frequent level of the training rows.
Writes benchmarks/results/MACHINE/site_effect.json.
"""

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import write_figures
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lowerbound as lb

NUM_ROWS, NUM_COLUMNS, SITES = 4000, 12, ("north", "south", "west")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/site_effect.json")
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.seeds):
        for is_given in (False, True):
            found = {"seed": seed, "is_given": is_given, **measured(seed, is_given, arguments.epochs)}
            rows.append(found)
            print(found)
    write_figures("site_effect", {"rows": rows, "epochs": arguments.epochs}, arguments.out)


def measured(seed: int, is_given: bool, epochs: int) -> dict[str, Any]:
    """Accuracies of the probes of one model."""
    table = planted(seed)
    signal = table.pop("signal")
    left = {} if is_given else {"data": {"exclude": ["site"]}}
    settings = left | {"model": {"condition_on": ["site"]} if is_given else {}}
    with TemporaryDirectory() as folder:
        run = lb.train(
            table,
            labels=signal,
            epochs=epochs,
            latent_dim=4,
            seed=seed,
            settings=settings,
            out=Path(folder) / "run",
        )
        model = lb.load(run)
    # The rows of the splits, for sites as well as signals: the table is in the order in which it was made.
    learned, tested = np.arange(0, NUM_ROWS, 2), np.arange(1, NUM_ROWS, 2)
    codes = {}
    for name, chosen in (("learned", learned), ("tested", tested)):
        part = {column: [cells[row] for row in chosen] for column, cells in table.items()}
        codes[name] = model.encode(part).mean.numpy()
    found: dict[str, Any] = {}
    for name, cells in (("site", table["site"]), ("signal", signal)):
        known, true = np.array(cells)[learned], np.array(cells)[tested]
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(codes["learned"], known)
        accuracy = float(probe.score(codes["tested"], true))
        levels, counts = np.unique(known, return_counts=True)
        found[name] = accuracy
        found[f"{name}_error"] = math.sqrt(accuracy * (1 - accuracy) / len(tested))
        found[f"{name}_chance"] = float((true == levels[counts.argmax()]).mean())
    return found


def planted(seed: int) -> dict[str, list[Any]]:
    """The table: columns x0 to x11, the site of each row, and its signal."""
    noise = np.random.default_rng(seed)
    factors, loadings = noise.normal(size=(NUM_ROWS, 2)), noise.normal(size=(2, NUM_COLUMNS))
    signal, of_signal = noise.integers(0, 2, NUM_ROWS), noise.normal(size=NUM_COLUMNS)
    site, of_site = noise.integers(0, len(SITES), NUM_ROWS), 2 * noise.normal(size=(len(SITES), NUM_COLUMNS))
    x = factors @ loadings + 2 * np.outer(signal - 0.5, of_signal) + of_site[site]
    x += 0.5 * noise.normal(size=x.shape)
    columns: dict[str, list[Any]] = {f"x{column}": x[:, column].round(3).tolist() for column in range(NUM_COLUMNS)}
    return columns | {
        "site": [SITES[number] for number in site],
        "signal": ["case" if number else "control" for number in signal],
    }


if __name__ == "__main__":
    main()
