"""The command: which kinds, how many, which seed; a table for each kind, and JSON for programs."""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# One thread, so that a child can be forked without locks that another thread holds.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from benchmarks.faults import corruption, full_disk, fuzzing, hostile_requests, kills
from benchmarks.faults.child import warm_up
from benchmarks.faults.runs import Workplace
from benchmarks.faults.tally import Tally

Kind = Callable[[Workplace, random.Random, float, frozenset[str]], Tally]

KINDS: dict[str, Kind] = {
    "kills": kills.run,
    "disk": full_disk.run,
    "corruption": corruption.run,
    "fuzzing": fuzzing.run,
    "requests": hostile_requests.run,
}


def main() -> int:
    """Run the kinds that are asked for; status 1 where anything failed."""
    options = _options()
    warm_up()
    root = Path(options.work or tempfile.mkdtemp(prefix="lowerbound-faults-"))
    tallies = []
    try:
        place = Workplace(root.resolve())
        for name in options.kinds or KINDS:
            # Each kind has a stream of its own: it breaks the same things alone and in company.
            bits = random.Random(f"{options.seed} {name}")
            tally = KINDS[name](place, bits, options.share, frozenset(options.only))
            tallies.append(tally)
            print(f"\n{tally.table()}", *tally.notes, sep="\n", flush=True)
    finally:
        if not options.work:
            shutil.rmtree(root, ignore_errors=True)
    if options.json:
        report = {"seed": options.seed, "share": options.share, "kinds": [tally.as_json() for tally in tallies]}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(tally.num_failed for tally in tallies))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; all if not given")
    parser.add_argument("--share", type=float, default=1.0, help="share of the full number of faults, in (0, 1]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], metavar="CLASS", help="one class alone; repeatable")
    parser.add_argument("--json", metavar="FILE", help="also write counts and failures as JSON")
    parser.add_argument("--work", metavar="DIR", help="a new folder to work in, which is kept")
    options = parser.parse_args()
    if unknown := [name for name in options.kinds if name not in KINDS]:
        parser.error(f"unknown kind {unknown[0]!r}; accepted: {', '.join(KINDS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
