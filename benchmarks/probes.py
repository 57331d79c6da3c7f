"""Accuracy of a linear classifier and of nearest neighbours on a run's latents and on raw pixels.

    LOWERBOUND_DATA=DIR python benchmarks/probes.py runs/best-2d runs/burda-vae

Both probes are fitted on the run's training examples, the latents' posterior means or the pixels standardised, and
evaluated on its test examples. The pixels are those of the first run. Writes benchmarks/results/MACHINE/probes.json.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from measuring import source, write_figures

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples
from lowerbound.evaluation.probes import LabelledCodes, labelled_codes, linear_probe, nearest_neighbour_probe
from lowerbound.runs.run_data import own_splits
from lowerbound.training.checkpoint import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="output file; default: results/MACHINE/probes.json")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"probes": {}}
    for index, run in enumerate(arguments.runs):
        splits = own_splits(run)
        if index == 0:
            figures["probes"]["raw pixels"] = probes(*(pixels(part) for part in (splits.train, splits.test)))
        model = load_model(run)
        codes = [labelled_codes(model, part) for part in (splits.train, splits.test)]
        figures["probes"][run.name] = probes(*codes)
        _, written = write_figures("probes", figures, arguments.out)
    print(table(written))


def pixels(examples: Examples) -> LabelledCodes:
    """Flattened examples with their labels."""
    assert examples.labels is not None
    return LabelledCodes(scaled(examples).flatten(1), torch.from_numpy(examples.labels))


def probes(train: LabelledCodes, test: LabelledCodes) -> dict[str, float]:
    """Accuracies of both probes, each with its binomial standard error."""
    linear, neighbours = linear_probe(train, test), nearest_neighbour_probe(train, test)
    return {
        "num_values": train.mean.shape[1],
        "linear": linear.value,
        "linear_error": linear.standard_error,
        "neighbours": neighbours.value,
        "neighbours_error": neighbours.standard_error,
    }


def table(figures: dict[str, Any]) -> str:
    """Accuracies in per cent."""
    lines = ["| | dimensions | linear probe | 5-NN accuracy |", "|---|---|---|---|"]
    for name, found in figures["probes"].items():
        cells = [f"{100 * found[key]:.2f} ± {100 * found[f'{key}_error']:.2f} %" for key in ("linear", "neighbours")]
        lines.append(f"| {name} | {found['num_values']} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, "", source(figures)])


if __name__ == "__main__":
    main()
