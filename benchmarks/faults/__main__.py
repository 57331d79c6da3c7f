"""Command line of the fault injection: kinds, share and seed; prints a table for each kind, and writes JSON."""

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# One thread, so that a child can be forked without locks that another thread holds.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from benchmarks.faults import (  # noqa: E402
    corruption,
    full_disk,
    fuzzing,
    hostile_requests,
    kills,
    ranks,
    scripts_in_names,
)
from benchmarks.faults.child import ALSO, leave_figures_out, warm_up  # noqa: E402
from benchmarks.faults.runs import Workplace  # noqa: E402
from benchmarks.faults.tally import Tally  # noqa: E402

Kind = Callable[[Workplace, random.Random, float, frozenset[str]], Tally]

KINDS: dict[str, Kind] = {
    "kills": kills.run,
    "disk": full_disk.run,
    "corruption": corruption.run,
    "fuzzing": fuzzing.run,
    "requests": hostile_requests.run,
    "scripts": scripts_in_names.run,
    "ranks": ranks.run,
}

SLICE: dict[str, tuple[float, frozenset[str]]] = {
    "kills": (0.05, frozenset({"encode", "sample --folder", "train"})),
    "disk": (0.04, frozenset({"encode", "sample --folder", "train"})),
    "corruption": (0.006, frozenset({"sample", "inspect", "compare"})),
    "fuzzing": (0.02, frozenset()),
    "requests": (0.1, frozenset({"explore"})),
    "scripts": (0.1, frozenset({"report", "service /"})),
}
"""What the tests run, without figures: a share of each kind, and its classes (all, where there are none).

Those of ranks, whose processes cannot be forked, are in tests/runs/test_ranks.py.
"""


def main() -> int:
    """Run the chosen kinds; status 1 if anything failed."""
    options = _options()
    warm_up(() if options.slice else ALSO)
    if options.slice or options.without_figures:
        leave_figures_out()
    root = Path(options.work or tempfile.mkdtemp(prefix="lowerbound-faults-"))
    tallies = []
    try:
        place = Workplace(root.resolve())
        for name in options.kinds or (SLICE if options.slice else KINDS):
            # Each kind has a stream of its own: it breaks the same things alone and in company.
            bits = random.Random(f"{options.seed} {name}")
            share, names = SLICE[name] if options.slice else (options.share, frozenset(options.only))
            tally = KINDS[name](place, bits, share, names)
            tallies.append(tally)
            tally.name = name
            print(f"\n{tally.table()}", *tally.notes, sep="\n", flush=True)
    finally:
        if not options.work:
            shutil.rmtree(root, ignore_errors=True)
    if options.json:
        report = {"seed": options.seed, "share": options.share, "kinds": [tally.as_json() for tally in tallies]}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.document:
        write_table(Path(options.document), tallies)
    return int(any(tally.num_failed for tally in tallies))


def write_table(document: Path, tallies: list[Tally]) -> None:
    """Write the outcome of each kind between `<!-- table: faults -->` and `<!-- end -->` of a document."""
    table = "\n\n".join(tally.table() for tally in tallies)
    block = re.compile(r"(<!-- table: faults -->\n).*?(<!-- end -->)", re.DOTALL)
    text = document.read_text(encoding="utf-8")
    document.write_text(block.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; all if not given")
    parser.add_argument("--share", type=float, default=1.0, help="share of the full number of faults, in (0, 1]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], metavar="CLASS", help="one class alone; repeatable")
    parser.add_argument("--slice", action="store_true", help="the small part of each kind that `make test` runs")
    parser.add_argument("--without-figures", action="store_true", help="reports without figures, which take most time")
    parser.add_argument("--json", metavar="FILE", help="also write counts and failures as JSON")
    parser.add_argument("--document", metavar="FILE", help="also write the tables into docs/reliability.md")
    parser.add_argument("--work", metavar="DIR", help="a new folder to work in, which is kept")
    options = parser.parse_args()
    if unknown := [name for name in options.kinds if name not in KINDS]:
        parser.error(f"unknown kind {unknown[0]!r}; accepted: {', '.join(KINDS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
