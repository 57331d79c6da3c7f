"""Damages every file of a run in every way, and runs every command that reads it.

A command may refuse in one line, or answer as for the intact run; any other answer, and any traceback, is a failure. If
the file was changed and saved with a correct checksum, the command may answer by the changed content.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults.child import Outcome, command, forked
from benchmarks.faults.comparing import differences, is_left_over, text_settled, tree
from benchmarks.faults.mutations import Damage, damages, resaved
from benchmarks.faults.reading_commands import READERS, REFUSED, Reader
from benchmarks.faults.runs import Workplace
from benchmarks.faults.tally import Tally

GOOD = frozenset({"refused", "same answer", "forgery accepted"})
NUM_COMMANDS = 3000
MEMORY = 4 * 2**30
TIMEOUT = 60.0
PLACES = ("digits", "table", "interrupted")


@dataclass(frozen=True)
class Answer:
    """What a command printed and wrote."""

    outcome: Outcome
    text: str
    files: dict[str, bytes]  # those that it wrote or changed


@dataclass(frozen=True)
class Attempt:
    """A damage and a command that may read the damaged file."""

    template: str
    file: str
    damage: Damage
    reader: Reader

    @property
    def names(self) -> frozenset[str]:
        """Names that select it."""
        return frozenset({Path(self.file).name, self.reader.name, self.damage.name})

    @property
    def about(self) -> str:
        return f"{self.template}/{self.file} {self.damage.name} {self.damage.about}, {self.reader.name}"


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """A `share` of `NUM_COMMANDS` commands; `names` are those of files, commands or damages."""
    tally = Tally("corruption", GOOD)
    named = names & {reader.name for reader in READERS}
    readers = [reader for reader in READERS if not named or reader.name in named]
    places = [name for name in PLACES if any(name in reader.templates for reader in readers)]
    found = [attempt for name in places for attempt in attempts(place, name, readers, bits)]
    found = [attempt for attempt in found if not names or names & attempt.names]
    intact: dict[tuple[str, str], Answer] = {}
    for attempt in bits.sample(found, min(len(found), max(1, round(share * NUM_COMMANDS)))):
        key = attempt.template, attempt.reader.name
        if key not in intact:
            place.begin(attempt.template)
            intact[key] = asked(place, attempt.reader)
        verdict, why = judged(place, attempt, intact[key])
        if verdict == "silently wrong" and attempt.damage.name.startswith("resaved"):
            # A file with a right checksum is a valid one: what stands in it is believed.
            verdict = "forgery accepted"
        tally.add(_class_of(attempt.file), verdict, f"{attempt.about}: {why}")
    tally.notes.append(f"{len(found):,} combinations of file, damage and command, of which these were drawn")
    return tally


def attempts(place: Workplace, template: str, readers: Sequence[Reader], bits: random.Random) -> Iterator[Attempt]:
    """Every combination for one template; for slow commands a sample."""
    folder = place.template(template)
    files = tree(folder)
    for file in sorted(name for name in files if name.startswith("run/") and READ.intersection(Path(name).suffixes)):
        those = [reader for reader in readers if reader.reads(template, file)]
        if "figures/" in file or not those:
            continue
        kinds = list(damages(file, files[file], files.get(file.replace("run/", "other/", 1)), bits))
        if file.endswith(".safetensors"):
            kinds += list(forked(partial(_resaved, folder / file, bits), cwd=folder).value or ())
        for damage in kinds:
            for reader in those:
                if damage.name in ALWAYS or bits.random() < reader.chance:
                    yield Attempt(template, file, damage, reader)


ALWAYS = frozenset({"swapped", "deleted", "empty"})
"""Damages that every command is given, however long it takes."""

READ = frozenset({".toml", ".json", ".jsonl", ".safetensors"})


def _resaved(path: Path, bits: random.Random) -> list[Damage]:
    return list(resaved(path, bits))


def judged(place: Workplace, attempt: Attempt, intact: Answer) -> tuple[str, str]:
    """Run one command on one damaged file."""
    trial = place.begin(attempt.template)
    path = trial / attempt.file
    if attempt.damage.content is None:
        path.unlink()
    else:
        path.write_bytes(attempt.damage.content)
    answer = asked(place, attempt.reader)
    outcome = answer.outcome
    if attempt.reader.is_server and outcome.status == 0:
        return _judged_server(answer, intact)
    if outcome.status != 0:
        if outcome.complaint:
            return ("traceback" if "TRACEBACK" in outcome.complaint else "failed badly"), outcome.complaint
        return "refused", outcome.error_lines[0]
    if intact.outcome.status != 0:
        return "silently wrong", f"accepted, where the intact run is refused: {intact.outcome.err[-200:]}"
    return _compared(attempt, answer, intact)


def asked(place: Workplace, reader: Reader) -> Answer:
    """Run a command in the trial folder."""
    before = tree(place.trial)
    if reader.action is None:
        outcome = command(reader.words, cwd=place.trial, timeout=TIMEOUT, memory=MEMORY)
    else:
        outcome = forked(reader.action, cwd=place.trial, timeout=TIMEOUT, memory=MEMORY)
    after = tree(place.trial)
    changed = {name: content for name, content in after.items() if before.get(name) != content}
    return Answer(outcome, text_settled(outcome.out), changed)


def _compared(attempt: Attempt, answer: Answer, intact: Answer) -> tuple[str, str]:
    if answer.text != intact.text:
        return "silently wrong", _first_difference(intact.text, answer.text)
    # What is written again may be the damaged file itself.
    ours = {name: content for name, content in answer.files.items() if not is_left_over(name)}
    expected = dict(intact.files)
    if attempt.file not in ours:
        expected.pop(attempt.file, None)
    if lines := differences(ours, expected | {k: v for k, v in ours.items() if _is_mended(k, v, attempt, intact)}):
        return "silently wrong", "; ".join(lines)
    return "same answer", ""


def _is_mended(name: str, content: bytes, attempt: Attempt, intact: Answer) -> bool:
    # Written again as it was before it was damaged.
    return name == attempt.file and name not in intact.files and bool(content)


def _judged_server(answer: Answer, intact: Answer) -> tuple[str, str]:
    """A server's responses, request by request."""
    calls = [json.loads(answer.outcome.out), json.loads(intact.outcome.out)]
    verdict, reason = "same answer", ""
    for path, (status, body) in calls[0].items():
        expected = calls[1][path]
        if status >= 500:
            return "traceback", f"{path} answered {status}: {answer.outcome.err.strip().splitlines()[-1:]}"
        if [status, body] == expected:
            continue
        if status >= 400 or (body.endswith(REFUSED) and not expected[1].endswith(REFUSED)):
            verdict, reason = "refused", body
        else:
            return "silently wrong", f"{path}: {_first_difference(expected[1], body)}"
    return verdict, reason


def _first_difference(expected: str, found: str) -> str:
    pairs = zip(expected.splitlines(), found.splitlines(), strict=False)
    first = next(((a, b) for a, b in pairs if a != b), (expected[-80:], found[-80:]))
    return f"{first[1][:120]!r} instead of {first[0][:120]!r}"


def _class_of(file: str) -> str:
    name = Path(file).name
    return "checkpoints" if name.startswith("step-") else name
