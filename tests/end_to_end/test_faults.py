"""A slice of every kind of fault in benchmarks/faults, and that its judges can tell right from wrong."""

import json
import os
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest
from benchmarks.faults.child import Outcome
from benchmarks.faults.comparing import differences, is_left_over, same, why_damaged
from benchmarks.faults.kills import compared, what_is_torn
from benchmarks.faults.runs import Case, Reference
from benchmarks.faults.scripts_in_names import PAYLOADS, marks_in

ROOT = Path(__file__).parents[2]
KINDS = ("kills", "disk", "corruption", "fuzzing", "requests", "scripts")
LOG = b'{"step": 1, "seconds": 0.5}\n'


@pytest.fixture(scope="module")
def sliced(tmp_path_factory):
    """What came of the slice, by kind, in a process of its own: it forks before there are threads."""
    report = tmp_path_factory.mktemp("faults") / "faults.json"
    words = [sys.executable, "-m", "benchmarks.faults", "--slice", "--json", str(report)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert report.exists(), done.stderr
    return {tally["kind"]: tally for tally in json.loads(report.read_text())["kinds"]}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_every_kind_end_as_promised(sliced, kind):
    tally = sliced[kind]
    assert tally["total"] >= 5
    assert tally["failures"] == []


def reference(before, after):
    return Reference(Case("a command", "nothing", ()), before, after, Outcome(0, "", "", 1.0, False))


def test_a_file_that_is_neither_the_old_nor_the_new_one_is_torn():
    expected = reference({"a.csv": b"old", "b.csv": b"kept"}, {"a.csv": b"new", "b.csv": b"kept"})
    assert list(what_is_torn({"a.csv": b"old", "b.csv": b"kept"}, expected)) == []
    assert list(what_is_torn({"a.csv": b"new", "b.csv": b"kept", ".a.csv.x.part": b"n"}, expected)) == []
    assert list(what_is_torn({"a.csv": b"ne", "b.csv": b"kept"}, expected)) == [
        "a.csv is neither the old nor the new one"
    ]
    assert list(what_is_torn({"a.csv": b"old"}, expected)) == ["b.csv is gone"]


def test_what_a_stopped_command_left_is_told_from_what_it_changed():
    expected = reference({}, {"a.csv": b"new"})
    assert compared({"a.csv": b"new"}, expected)[0] == "same bytes"
    assert compared({"a.csv": b"new", ".a.csv.x.part": b""}, expected)[0] == "left over"
    assert compared({"a.csv": b"other"}, expected)[0] == "other bytes"


def test_runs_that_differ_in_times_alone_are_the_same():
    later = LOG.replace(b"0.5", b"0.75")
    assert same("metrics.jsonl", LOG, later) and not same("metrics.jsonl", LOG, LOG.replace(b"1", b"2"))
    assert differences({"m.jsonl": later}, {"m.jsonl": LOG}) == []
    assert differences({}, {"m.jsonl": LOG}) == ["m.jsonl is missing"]
    assert why_damaged("results.json", b"{") and not why_damaged("results.json", b"{}")
    assert is_left_over("run/.results.json.abc.part") and not is_left_over("run/results.json")


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if "&lt;" not in payload])
def test_a_name_that_became_markup_is_seen(payload):
    assert marks_in(f'<p title="{payload}">{payload}</p>') or marks_in(f"<p title='{payload}'></p>")
    assert not marks_in(f'<p title="{escape(payload)}">{escape(payload)}</p>')
