"""Write results as tables into docs/performance.md, between `<!-- table: NAME -->` and `<!-- end -->`.

    python benchmarks/tables.py

NAME is that of a result, benchmarks/results/MACHINE/NAME.json, and of a function in TABLES. A block shows every machine
that has the result, one after another. A block without a result stays as it is; a result without a block is named.
Running it twice changes nothing.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fast_paths
import growth
import limits
import optimisers
import startup
import thread_counts
from measuring import markdown

from lowerbound.foundation.errors import LowerboundError
from lowerbound.foundation.storage import write_text
from lowerbound.foundation.text_files import read_json

ROOT = Path(__file__).parent
FASTEST = ("lowerbound float32", "lowerbound bfloat16")
PEERS = {"keras": "Keras", "plain torch": "plain PyTorch"}
"""Names of programs within a phrase."""

MACHINES = {"xeon-amx": "Xeon with AMX", "epyc": "EPYC without AMX"}
"""Titles of the machines that have one; others are called by their folder's name."""

FIRST = "xeon-amx"
"""The machine that is shown before all others, which follow by name."""

DOCUMENT = ROOT.parent / "docs" / "performance.md"
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    arguments = parser.parse_args()
    before = text = arguments.document.read_text(encoding="utf-8")
    for name, render in TABLES.items():
        paths = sorted(arguments.results.glob(f"*/{name}.json"), key=in_order)
        if not paths:
            print(f"{name}: no {arguments.results}/*/{name}.json exists; its table is not changed.", file=sys.stderr)
            continue
        try:
            text = with_table(text, name, "\n\n".join(of_machine(path, render) for path in paths))
        except LowerboundError as error:
            print(f"{name}: {error}", file=sys.stderr)
    if text != before:
        write_text(arguments.document, text)
    print(f"{arguments.document}: {'written' if text != before else 'unchanged'}")


def in_order(path: Path) -> tuple[bool, str]:
    """A key that sorts results by machine."""
    return path.parent.name != FIRST, path.parent.name


def of_machine(path: Path, render: Callable[[Figures], str]) -> str:
    """The title of the machine that a result is of, where the result comes from, and its table."""
    try:
        # The last paragraph of every table says where it comes from.
        table, _, provenance = render(read_json(path)).rpartition("\n\n")
    except LookupError as error:
        raise LowerboundError(f"{path} has no {error}; run the benchmark again.") from error
    title = MACHINES.get(path.parent.name, path.parent.name)
    return f"**{title}.** {provenance}\n\n{table}"


def with_table(text: str, name: str, table: str) -> str:
    """`text` with the named block replaced; LowerboundError unless it has exactly one such block."""
    # A block ends before the next one begins, even if markers are missing.
    block = re.compile(rf"(<!-- table: {re.escape(name)} -->\n)(?:(?!<!-- table: ).)*?(<!-- end -->)", re.DOTALL)
    replaced, count = block.subn(lambda match: f"{match[1]}{table}\n{match[2]}", text)
    if count != 1:
        raise LowerboundError(f"there are {count} blocks from `<!-- table: {name} -->` to `<!-- end -->`, not one.")
    return replaced


def training_throughput(figures: Figures) -> str:
    """Microseconds per image, and our speed-up over the others."""
    cases, sides = figures["cases"], list(figures["sides"])
    costs = [
        [case["network"], str(case["batch_size"]), *(cell(case["sides"][side]) for side in sides)] for case in cases
    ]
    others = [side for side in sides if side not in FASTEST]
    factors = [
        [case["network"], str(case["batch_size"]), ours, *(factor(case, ours, other) for other in others)]
        for case in cases
        for ours in FASTEST
        if ours in sides
    ]
    return "\n\n".join(
        [
            "Microseconds per image, median (quartiles):",
            markdown(["network", "batch", *sides], costs),
            "Speed-up over the program in the column, median of the rounds' ratios (quartiles):",
            markdown(["network", "batch", "", *others], factors),
            source(figures, f"{figures['rounds']} rounds"),
        ]
    )


def inference(figures: Figures) -> str:
    """Milliseconds for all images and for one, and our speed-up."""
    sides = list(figures["sides"])
    ours, peers = [side for side in sides if side in FASTEST], [side for side in sides if side not in FASTEST]
    rows = [
        [
            case["network"],
            f"{case['task']} {case['of']}",
            *(cell(case["sides"][side], 1e3) for side in sides),
            *(factor(case, own, peer) for peer in peers for own in ours),
            case["ways"].get("keras", {}).get("chosen", ""),
        ]
        for case in figures["cases"]
    ]
    times = [f"{own.split()[-1]} speed-up over {PEERS.get(peer, peer)}" for peer in peers for own in ours]
    head = ["network", "task", *(f"{side}, ms" for side in sides), *times]
    note = (
        f"Median (quartiles) of the rounds; all images are {figures['images']:,}, one image is the median of "
        f"{figures['calls']} calls."
    )
    return "\n\n".join([markdown([*head, "Keras call"], rows), note, source(figures, f"{figures['rounds']} rounds")])


def time_to_quality(figures: Figures) -> str:
    """Seconds to the target, how often it is reached, and the −ELBO reached in Keras' time."""
    summary, target = figures["summary"], figures["target"]
    rows = [
        [
            name,
            cell(summary[name]["seconds"]),
            f"{summary[name]['reached']} of {summary[name]['of']}",
            number(summary[name]["seconds_per_epoch"]),
        ]
        for name in ("keras", "lowerbound")
    ]
    lines = [
        markdown(["", f"seconds to −ELBO ≤ {target:g} nats", "reached by", "seconds per epoch"], rows),
        f"Where the target is not reached, the time spent is a lower bound. Ratio of lowerbound's time to Keras': "
        f"{cell(summary['time of lowerbound / keras'])}, median of the seeds' ratios (quartiles).",
    ]
    if "in keras' time" in summary:
        filled = summary["in keras' time"]
        lines.append(
            f"In the time that Keras needed (share used: {cell(filled['time of lowerbound / keras'])}) lowerbound "
            f"reaches −ELBO {nats(filled['negative_elbo'])} nats, Keras {nats(filled['negative_elbo of keras'])}."
        )
    return "\n\n".join([*lines, source(figures, f"{len(figures['seeds'])} seed(s)")])


def factor(case: Figures, ours: str, other: str) -> str:
    """Our speed-up."""
    return f"{cell(case['times_as_fast'][ours][other])}×"


def cell(spread: Figures, scale: float = 1.0) -> str:
    """A median with its quartiles."""
    middle, lower, upper = (number(scale * spread[name]) for name in ("median", "lower_quartile", "upper_quartile"))
    return f"{middle} ({lower} to {upper})"


def nats(spread: Figures) -> str:
    """A median with its extremes, to a hundredth of a nat."""
    return f"{spread['median']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"


def number(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def source(figures: Figures, how_often: str) -> str:
    """Provenance of a result: command, machine, versions."""
    machine = figures["machine"]
    versions: dict[str, str] = {}
    for about in figures["sides"].values():
        versions |= about["versions"]
    threads = sorted({about["threads"] for about in figures["sides"].values()})
    return (
        f"`{figures['command']}`: {how_often}; {machine['processor']}, "
        f"{' or '.join(map(str, threads))} threads for each side; "
        f"{', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}."
    )


TABLES: dict[str, Callable[[Figures], str]] = {
    "training_throughput": training_throughput,
    "time_to_quality": time_to_quality,
    "inference": inference,
    "optimisers": optimisers.table,
    "fast_paths": fast_paths.table,
    "limits": limits.table,
    "startup": startup.table,
    "thread_counts": thread_counts.table,
    "growth": growth.table,
}


if __name__ == "__main__":
    main()
