"""Feeds mutations of valid files to every reader: each must accept the file, or raise one of the project's errors.

Time and memory are bounded, and a crash of the process is attributed to its file.
"""

import os
import random
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults.child import GIB, forked
from benchmarks.faults.mutator import mutated
from benchmarks.faults.runs import Workplace
from benchmarks.faults.tally import Tally
from benchmarks.faults.valid_files import PHOTOS, VALID

GOOD = frozenset({"accepted", "refused"})
NUM_FOR_EACH = 600
BATCH = 60  # files for one child
MOST_SECONDS = 10
MOST_MEMORY = GIB  # that a few kilobytes may make resident
ADDRESS_SPACE = 6 * GIB
OUT_OF_MEMORY = ("MemoryError", "allocate", "out of memory")


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Run a `share` of `NUM_FOR_EACH` mutations for every reader."""
    tally = Tally("fuzzing", GOOD)
    everything = tuple(content for name in VALID for content in VALID[name]())
    for name in VALID:
        if names and name not in names:
            continue
        valid = VALID[name]()
        judge(place, name, valid, tally, must_be="accepted")
        count = max(1, round(share * NUM_FOR_EACH))
        files = [mutated(name, bits.choice(valid), (*valid, bits.choice(everything)), bits) for _ in range(count)]
        for start in range(0, count, BATCH):
            judge(place, name, files[start : start + BATCH], tally)
    return tally


def judge(place: Workplace, name: str, files: Sequence[bytes], tally: Tally, must_be: str = "") -> None:
    """Read files one after another in a child; after a crash, continue in a new one."""
    kept = place.root / "fuzzed"
    kept.mkdir(parents=True, exist_ok=True)
    left = list(files)
    while left:
        trial = place.fresh(None)
        _lay_out(trial, name)
        outcome = forked(partial(_read_all, name, tuple(left)), cwd=trial, timeout=600, memory=ADDRESS_SPACE)
        lines = [line.split("\t", 1) for line in outcome.out.splitlines() if "\t" in line]
        if len(lines) < len(left):
            how = "too slow" if outcome.status == -signal.SIGALRM else "ended the process"
            lines.append([how, f"status {outcome.status}, {outcome.err[-200:]!r}"])
        for content, (verdict, why) in zip(left, lines, strict=False):
            verdict = verdict if not must_be or verdict == must_be else f"valid, but {verdict}"
            if verdict not in GOOD:
                file = kept / f"{tally.num_failed:03}-{name.replace('/', '-')}"
                file.write_bytes(content)
                why = f"{file}: {why}"
            tally.add(name, verdict, why)
        left = left[len(lines) :]


def _lay_out(trial: Path, name: str) -> None:
    """Write the files that the reader needs next to its input."""
    if name in ("labels.csv", "photos/cold/9.png"):
        for photo, content in PHOTOS.items():
            path = trial / "photos" / photo
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _read_all(name: str, files: Sequence[bytes]) -> None:
    """In a child: a line for each file, with its verdict."""
    path = Path(name)
    for content in files:
        if name != "--set":
            path.parent.mkdir(parents=True, exist_ok=True)
            # A new file each time: what was read before may still be mapped.
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        verdict, why = _read_one(READERS.get(name, _as_data), path, content)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"{verdict}\t{why!r}", flush=True)


def _read_one(read: Callable[[Path, bytes], Any], path: Path, content: bytes) -> tuple[str, str]:
    from lowerbound.foundation.errors import LowerboundError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read(path, content)
    except LowerboundError as error:
        message = str(error)
        verdict = "refused"
        if any(sign in message for sign in OUT_OF_MEMORY):
            verdict = "too much memory"
        elif len(message.splitlines()) != 1 or not message.isprintable() or len(message) > 2000:
            verdict = "not one line"
        return _bounded(verdict, before), message[:300]
    except BaseException:
        return "traceback", traceback.format_exc()[-400:]
    return _bounded("accepted", before), ""


def _bounded(verdict: str, before: int) -> str:
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return "too much memory" if grown > MOST_MEMORY else verdict


def _as_data(path: Path, content: bytes) -> Any:
    if path.stem == "photo":  # one example, which cannot be divided
        from lowerbound.data.files import read

        return read(path)
    from lowerbound.data.sources import DataConfig, load

    # The schema's numbers are found out, and the examples divided, as training does.
    return load(DataConfig(source=str(path)))


def _as_folder(path: Path, content: bytes) -> Any:
    return _as_data(Path("photos"), content)


def _as_labels(path: Path, content: bytes) -> Any:
    from lowerbound.data.sources import DataConfig, load

    return load(DataConfig(source="photos", labels=str(path)))


def _as_recipe(path: Path, content: bytes) -> Any:
    from lowerbound.runs.experiment import resolve

    return resolve(str(path))


def _as_setting(path: Path, content: bytes) -> Any:
    from lowerbound.commands.assignments import parse_settings
    from lowerbound.runs.experiment import resolve

    # As the shell hands over what is not UTF-8.
    return resolve("dense", parse_settings([os.fsdecode(content.replace(b"\0", b""))]))


READERS: dict[str, Callable[[Path, bytes], Any]] = {
    "photos/cold/9.png": _as_folder,
    "labels.csv": _as_labels,
    "recipe.toml": _as_recipe,
    "--set": _as_setting,
}
