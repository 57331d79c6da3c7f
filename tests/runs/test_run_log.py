"""A log gives back its whole records, and none that is damaged or another run's."""

import math

import pytest

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import CONFIG, run_id, sealed
from lowerbound.foundation.storage import FORMAT_VERSION
from lowerbound.foundation.text_files import write_toml
from lowerbound.runs.run_log import LOG, RunLog, read_epochs, read_log
from progress_records import record

RECORDS = [record(step) for step in range(1, 4)]


def configured(path, data_checksum):
    content = {"format_version": FORMAT_VERSION, "run": {"id": run_id({}, data_checksum)}}
    write_toml(path / CONFIG, sealed(content))
    return path


def test_a_log_gives_back_its_records_in_order(tmp_path):
    log = RunLog(tmp_path)
    log.rewrite(RECORDS[:1])
    for one in RECORDS[1:]:
        log.append(one)
    assert read_log(tmp_path) == RECORDS


def test_a_log_that_was_never_begun_is_empty(tmp_path):
    assert read_log(tmp_path) == []


def test_a_log_cut_anywhere_gives_back_its_whole_records(tmp_path):
    RunLog(tmp_path).rewrite(RECORDS)
    path = tmp_path / LOG
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        assert read_log(tmp_path) == RECORDS[: content[:length].count(b"\n")]


def test_a_log_with_any_byte_of_a_record_changed_is_refused_with_its_line(tmp_path):
    RunLog(tmp_path).rewrite(RECORDS[:2])
    content = (tmp_path / LOG).read_bytes()
    for position in range(content.index(b"\n") + 1, len(content) - 1, 7):
        (tmp_path / LOG).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(RunError, match=r"metrics\.jsonl, line [23]: "):
            read_log(tmp_path)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_record_without_a_json_form_is_refused_and_nothing_is_appended(tmp_path, number):
    log = RunLog(tmp_path)
    log.append(RECORDS[0])
    with pytest.raises(ValueError, match="JSON"):
        log.append(record(2, learning_rate=number))
    assert read_log(tmp_path) == RECORDS[:1]


def test_records_of_another_run_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a", "b"):
        RunLog(configured(tmp_path / name, name)).rewrite(RECORDS)
    (tmp_path / "a" / LOG).write_bytes((tmp_path / "b" / LOG).read_bytes())
    with pytest.raises(RunError, match="line 1: the record belongs to another run"):
        read_log(tmp_path / "a")


def test_epochs_are_the_records_with_a_validation(tmp_path):
    epoch = record(5, ends_epoch=True)
    RunLog(tmp_path).rewrite([*RECORDS, epoch])
    assert read_epochs(tmp_path) == (epoch,)


def test_a_log_without_a_finished_epoch_is_no_history(tmp_path):
    RunLog(tmp_path).rewrite(RECORDS)
    with pytest.raises(RunError, match="has no record of a finished epoch"):
        read_epochs(tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"step": "1"}, 'step: input should be a valid integer, got "1"'),
        ({"is_best": 1}, "is_best: input should be a valid boolean, got 1"),
        ({"validation": {}}, "validation.objective: is missing; and 3 more"),
        ({"loss": 1.0}, "loss: is not a known key"),
    ],
)
def test_a_record_with_a_valid_checksum_and_another_key_or_type_is_refused(tmp_path, changes, problem):
    RunLog(tmp_path).rewrite([RECORDS[0], RECORDS[1] | changes])
    with pytest.raises(RunError) as refusal:
        read_log(tmp_path)
    place = f"{tmp_path / LOG}, line 2: the record"
    assert str(refusal.value) == f"{place} is damaged ({problem}); restore it."
