"""Kills commands at every file change, within writes, and at random times.

After each kill every file must be either the old or the new one; the same command (or `train --resume`) must continue
and produce the bytes of an uninterrupted command, without leaving temporary files.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from benchmarks.faults.child import Fault, Outcome, command, forked
from benchmarks.faults.comparing import differences, is_left_over, same, settled, tree, why_damaged
from benchmarks.faults.runs import Case, Reference, Workplace, reference, writing_cases
from benchmarks.faults.tally import Tally

GOOD = frozenset({"same bytes"})
RANDOM_TIMES = 12  # kills of each command at a moment between its beginning and its end
SIZES = (0, 1, 300, 4096)  # bytes of a file that are on the disk when the kernel ends the process
GROWING = re.compile(r"metrics\.jsonl|step-\d+\.safetensors|images-from-.*\.safetensors")
FIGURE = re.compile(r"figures/\.?(\w+)\.png")


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Kill every writing command, at a `share` of all points."""
    tally = Tally("kill", GOOD)
    for case in writing_cases(place.data):
        if names and case.name not in names:
            continue
        expected = reference(place, case)
        for label, fault, seconds in points(expected, bits, share):
            outcome = command(
                case.words, cwd=place.begin(case.template), fault=fault, kill_after=seconds, prepare=case.prepare
            )
            if outcome.is_killed:
                verdict, why = after_the_kill(place.trial, expected)
                tally.add(case.name, verdict, f"{label}: {why}")
            elif outcome.status != 0:
                tally.add(case.name, "failed without a kill", f"{label}: {outcome.err[-300:]}")
    return tally


def points(expected: Reference, bits: random.Random, share: float) -> Iterator[tuple[str, Fault | None, float]]:
    """Points at which to kill: a description, then a seam or a time in seconds."""
    found: list[tuple[str, Fault | None, float]] = []
    figures = {match[1] for _, path in expected.outcome.seams if (match := FIGURE.search(path))}
    drawn = frozenset(sorted(figures)[:1])  # one stands for all
    for at, (event, path) in enumerate(expected.outcome.seams):
        match = FIGURE.search(path)
        if match and match[1] not in drawn:
            continue
        found.append((f"before seam {at}, {event} {path}", Fault("kill", at), 0.0))
        if event == "open":
            size = bits.choice(SIZES)
            found.append((f"within a write after {size} bytes, from seam {at}, {path}", Fault("cut", at, size), 0.0))
    for _ in range(RANDOM_TIMES):
        seconds = bits.uniform(0.01, max(expected.outcome.seconds, 0.02))
        found.append((f"after {seconds:.3f} s", None, seconds))
    yield from bits.sample(found, max(1, round(share * len(found))))


def after_the_kill(trial: Path, expected: Reference) -> tuple[str, str]:
    """The verdict on the files that a killed command left, and on continuing it."""
    found = tree(trial)
    if torn := list(what_is_torn(found, expected)):
        return "torn", "; ".join(torn)
    if mixed := what_is_mixed(trial, expected.case, expected):
        return "mixed", mixed
    return go_on(trial, expected)


def go_on(trial: Path, expected: Reference) -> tuple[str, str]:
    """Repeat or resume the command, and compare with an uninterrupted one."""
    refusals: list[str] = []
    for words in expected.case.continuations:
        outcome = command(words, cwd=trial, timeout=600, prepare=expected.case.prepare)
        if outcome.status == 0:
            return compared(tree(trial), expected)
        if outcome.complaint:
            return _class_of(outcome), f"{' '.join(words[:4])}: {outcome.complaint}"
        refusals += outcome.error_lines
    # A command that takes new folders alone, killed when all was written, refuses what it wrote.
    found, why = compared(tree(trial), expected)
    return (found, why) if found == "same bytes" else ("stuck", " / ".join(refusals))


def compared(found: Mapping[str, bytes], expected: Reference) -> tuple[str, str]:
    """Compare a folder with that of an uninterrupted command."""
    finished = {name: content for name, content in found.items() if not is_left_over(name)}
    if lines := differences(finished, {name: c for name, c in expected.after.items() if not is_left_over(name)}):
        return "other bytes", "; ".join(lines)
    # What lies in a run that the command has nothing to do with stays there.
    if unfinished := sorted(found.keys() - finished.keys() - expected.after.keys()):
        return "left over", ", ".join(unfinished)
    return "same bytes", ""


def what_is_torn(found: Mapping[str, bytes], expected: Reference) -> Iterator[str]:
    """Files that are neither the old nor the new ones, and old ones that are gone."""
    for name, content in found.items():
        versions = [files[name] for files in (expected.before, expected.after) if name in files]
        if is_left_over(name) or any(same(name, content, version) for version in versions):
            continue
        if not GROWING.search(name):
            yield f"{name} is neither the old nor the new one" if versions else f"{name} is neither's"
        elif why := why_damaged(name, content):
            yield why
    for name in expected.before.keys() & expected.after.keys() - found.keys():
        if not is_left_over(name):
            yield f"{name} is gone"


def what_is_mixed(trial: Path, case: Case, expected: Reference) -> str:
    """Why a run's results are a mixture of old and new ones; empty if they are not."""
    if not case.changes_results:
        return ""
    outcome = forked(results_digest, cwd=trial)
    if outcome.status != 0 and case.may_be_refused and "RunError" in outcome.err:
        return ""
    if outcome.status != 0:
        return f"results cannot be read: {outcome.err.strip().splitlines()[-1:]}"
    versions = [digest_of(trial, files) for files in (expected.before, expected.after)]
    return (
        "" if outcome.value in versions else "arrays or history of one evaluation stand beside the numbers of another"
    )


def digest_of(trial: Path, files: Mapping[str, bytes]) -> str:
    """`results_digest` of a tree in memory."""
    folder = trial.with_name("beside")
    for name in ("results.json", "results.safetensors", "metrics.jsonl", "config.toml", "model.safetensors"):
        (folder / "run").mkdir(parents=True, exist_ok=True)
        (folder / "run" / name).write_bytes(files[f"run/{name}"])
    return str(forked(results_digest, cwd=folder).value)


def results_digest() -> str:
    """Digest of a run's results, as they are read."""
    from lowerbound.evaluation.results import read_results

    results = read_results(Path("run"))
    digest = hashlib.sha256(repr((results.scores, results.findings, settled(list(results.history)))).encode())
    for name, array in sorted(results.arrays.items()):
        digest.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _class_of(outcome: Outcome) -> str:
    return "traceback" if outcome.complaint.startswith("TRACEBACK") else "failed"
