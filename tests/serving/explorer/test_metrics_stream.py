"""A log is followed line by line while it is written."""

import pytest

from lowerbound.foundation.errors import RunError
from lowerbound.runs.run_log import line_of
from lowerbound.serving.explorer.metrics_stream import new_records
from progress_records import record

RECORDS = [record(step) for step in (1, 2, 3)]
LINES = [line_of(record).encode() for record in RECORDS]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(LINES[0] + LINES[1])
    return tmp_path


def test_what_is_there_is_given_once(run):
    first = new_records(run, 0)
    assert first == {"records": RECORDS[:2], "after": len(LINES[0] + LINES[1]), "state": "training"}
    assert new_records(run, first["after"])["records"] == []


def test_what_is_added_is_given_next(run):
    after = new_records(run, 0)["after"]
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(LINES[2])
    assert new_records(run, after)["records"] == RECORDS[2:]


@pytest.mark.parametrize("cut", range(1, len(LINES[2]), 50))
def test_a_line_that_is_being_written_waits_until_it_is_whole(run, cut):
    after = new_records(run, 0)["after"]
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(LINES[2][:cut])
        log.flush()
        half = new_records(run, after)
        assert (half["records"], half["after"]) == ([], after)
        log.write(LINES[2][cut:])
    assert new_records(run, half["after"])["records"] == RECORDS[2:]


def test_a_log_that_was_cut_back_begins_anew(run):
    after = new_records(run, 0)["after"]
    (run / "metrics.jsonl").write_bytes(LINES[0])
    again = new_records(run, after)
    assert (again["records"], again["restarted"]) == (RECORDS[:1], True)
    assert "restarted" not in new_records(run, again["after"])


def test_a_run_without_a_log_has_no_records(tmp_path):
    assert new_records(tmp_path, 0) == {"records": [], "after": 0, "state": "training"}


@pytest.mark.parametrize("line", [b'{"step": \n', b"[1]\n", b"\xff\n", LINES[1].replace(b"2", b"3")])
def test_a_line_that_is_no_record_is_refused(run, line):
    (run / "metrics.jsonl").write_bytes(LINES[0] + line + LINES[1])
    with pytest.raises(RunError, match=r"metrics\.jsonl, record 2: "):
        new_records(run, 0)


def test_an_offset_within_a_line_gives_the_next_ones(run):
    assert new_records(run, 3)["records"] == RECORDS[1:2]


def test_a_run_with_a_model_is_finished(run):
    (run / "model.safetensors").write_bytes(b"")
    assert new_records(run, 0)["state"] == "finished"
