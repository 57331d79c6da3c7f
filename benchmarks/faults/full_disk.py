"""Runs commands on a full disk: at every seam, beyond a file size, and on a real file system that is too small.

Each must end with status 1 and one line, leave older files intact and no partial ones, and continue
once there is space.
"""

import ctypes
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.child import NEEDS_ROOM, Fault, Outcome, command
from benchmarks.faults.comparing import is_left_over, tree
from benchmarks.faults.kills import FIGURE, go_on, what_is_mixed, what_is_torn
from benchmarks.faults.runs import Reference, Workplace, reference, writing_cases
from benchmarks.faults.tally import Tally

GOOD = frozenset({"refused, then the same bytes", "unharmed"})
SIZES = (0, 500, 4096)
NEWNS, NEWUSER, PRIVATE = 0x00020000, 0x10000000, "--make-rprivate"
KIB = 1024
NUM_SIZES = 8  # of the real file system, for each command
SAYS_WHY = re.compile(r"no space left|file too large|disk|full", re.IGNORECASE)


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Fill the disk under every writing command, at a `share` of all points."""
    tally = Tally("full disk", GOOD)
    is_mounted = _can_mount()
    if not is_mounted:
        tally.notes.append("no file system could be mounted here: real full disks were left out")
    for case in writing_cases(place.data):
        if names and case.name not in names:
            continue
        expected = reference(place, case)
        for label, fault in points(expected, bits, share):
            outcome = command(case.words, cwd=place.begin(case.template), fault=fault, prepare=case.prepare)
            verdict, why = judged(place.trial, outcome, expected)
            tally.add(case.name, verdict, f"{label}: {why}")
        if is_mounted:
            for kib, verdict, why in on_small_disks(place, expected, bits, share):
                tally.add(f"{case.name}, tmpfs", verdict, f"{kib} KiB: {why}")
    return tally


def points(expected: Reference, bits: random.Random, share: float) -> Iterator[tuple[str, Fault]]:
    """Faults, each with a description of where the disk is full."""
    found: list[tuple[str, Fault]] = []
    figures = {match[1] for _, path in expected.outcome.seams if (match := FIGURE.search(path))}
    drawn = frozenset(sorted(figures)[:1])  # one stands for all
    for at, (event, path) in enumerate(expected.outcome.seams):
        match = FIGURE.search(path)
        if event not in NEEDS_ROOM or (match and match[1] not in drawn):
            continue
        found += [(f"{kind} at seam {at}, {event} {path}", Fault(kind, at)) for kind in ("full", "full-once")]
        if event == "open":
            size = bits.choice(SIZES)
            found.append((f"{size} bytes a file from seam {at}, {path}", Fault("limit", at, size)))
    yield from bits.sample(found, max(1, round(share * len(found))))


def judged(trial: Path, outcome: Outcome, expected: Reference) -> tuple[str, str]:
    """The verdict on a command with a full disk, and on repeating it with free space."""
    found = tree(trial)
    if outcome.status == 0 and not outcome.timed_out:
        # The fault was not in its way, or was something that it can do without.
        return ("unharmed", "") if not list(what_is_torn(found, expected)) else ("silently torn", "")
    if outcome.complaint:
        return ("traceback" if "TRACEBACK" in outcome.complaint else "not one line"), outcome.complaint
    if outcome.status != 1 or not SAYS_WHY.search(outcome.error_lines[0]):
        return "wrong reason", f"status {outcome.status}: {outcome.error_lines[0]}"
    if unfinished := [name for name in found if is_left_over(name) and name not in expected.before]:
        return "half-written", ", ".join(unfinished)
    if torn := list(what_is_torn(found, expected)):
        return "torn", "; ".join(torn)
    if mixed := what_is_mixed(trial, expected.case, expected):
        return "mixed", mixed
    verdict, why = go_on(trial, expected)
    return ("refused, then the same bytes", "") if verdict == "same bytes" else (verdict, why)


def on_small_disks(
    place: Workplace, expected: Reference, bits: random.Random, share: float
) -> Iterator[tuple[int, str, str]]:
    """Run the command on file systems from too small to large enough, which then grow: size, verdict, reason."""
    case = expected.case
    least = sum(len(content) for content in expected.before.values()) // KIB + 4 * len(expected.before) + 64
    most = least + sum(len(expected.after[name]) for name in expected.after.keys() - expected.before.keys()) // KIB
    for _ in range(max(1, round(share * NUM_SIZES))):
        kib = bits.randint(least, max(most, least + 64))
        template = place.template(case.template)
        place.fresh(None)
        _mount(place.trial, kib)
        try:
            subprocess.run(["cp", "-r", f"{template}/.", str(place.trial)], check=True)
            outcome = command(case.words, cwd=place.trial, prepare=case.prepare)
            _mount(place.trial, 2**20, again=True)
            yield kib, *judged(place.trial, outcome, expected)
        finally:
            subprocess.run(["umount", str(place.trial)], check=True)


def _mount(folder: Path, kib: int, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={kib}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


def _can_mount() -> bool:
    """Enter a private mount namespace, so that no mount outlives the process; false if that is not permitted."""
    flags = NEWNS if os.geteuid() == 0 else NEWNS | NEWUSER
    user, group = os.geteuid(), os.getegid()
    if not hasattr(os, "fork") or not Path("/proc/self/ns/mnt").exists() or ctypes.CDLL(None).unshare(flags) != 0:
        return False
    try:
        if flags & NEWUSER:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        subprocess.run(["mount", PRIVATE, "/"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
