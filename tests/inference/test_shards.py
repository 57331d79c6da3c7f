"""Folders of Parquet files: one row for each input, the same from any number of ranks, continued where they were."""

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import inference_jobs
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.inference import shards
from lowerbound.inference.shards import SUMMARY, PartResult, check_shards, counts_in, job_of, write_shards
from ranks import results_of_ranks

JOBS = Path(inference_jobs.__file__)
NUMBERS = (1, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("inference")
    results_of_ranks(JOBS, "prepared", (1,), path)
    return path


@pytest.fixture(scope="module")
def used(folder):
    return results_of_ranks(JOBS, "used", NUMBERS, folder)


def rows_in(folder: Path) -> dict[str, np.ndarray]:
    table = parquet.read_table(
        [folder / shard["file"] for shard in json.loads((folder / SUMMARY).read_text())["shards"]]
    )
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.parametrize(("name", "num_rows"), [("codes", 1797), ("scores", 1797), ("terms", 360)])
def test_any_number_of_ranks_writes_one_row_for_each_input(folder, used, name, num_rows):
    expected = rows_in(folder / "out-1" / name)
    assert [int(identity) for identity in expected["id"]] == list(range(num_rows))
    for num_ranks in NUMBERS[1:]:
        found = rows_in(folder / f"out-{num_ranks}" / name)
        assert found.keys() == expected.keys()
        for column in found:
            np.testing.assert_array_equal(found[column], expected[column])


def test_every_rank_learns_what_was_written(used):
    for num_ranks in NUMBERS:
        for found in used[num_ranks]:
            assert (found["num_rows"], found["num_terms"]) == (1797, 360)
            assert found["num_anomalous"] == used[1][0]["num_anomalous"] > 0


def test_ranks_together_find_the_scores_of_one_process(used):
    for num_ranks in NUMBERS[1:]:
        for found in used[num_ranks]:
            assert found["scores"] == pytest.approx(used[1][0]["scores"], rel=1e-5, nan_ok=True)


def test_training_on_packed_data_has_the_curve_of_one_process_and_continues(folder):
    found = results_of_ranks(JOBS, "learned", (1, 2, 3), folder)
    expected = found[1][0]
    assert [step for step, _ in expected] == list(range(1, 29))
    for num_ranks in (2, 3):
        for curve in found[num_ranks]:
            assert [step for step, _ in curve] == [step for step, _ in expected]
            assert [elbo for _, elbo in curve] == pytest.approx([elbo for _, elbo in expected], rel=1e-4)


def test_a_damaged_shard_ends_all_ranks_with_the_name_of_the_file(folder):
    messages = results_of_ranks(JOBS, "damaged", (2,), folder)[2]
    assert any("train-00003.arrow is damaged (block" in message for message in messages), messages
    assert all(message.split(":")[0] in ("DataError", "OtherRankFailed", "RankLost") for message in messages)


def numbered(start, stop):
    yield PartResult({"id": np.arange(start, stop), "odd": np.arange(start, stop) % 2})


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 10)


def test_what_was_complete_is_kept_and_the_rest_is_computed(tmp_path):
    computed = []

    def counted(start, stop):
        computed.append(start)
        if len(computed) == 3:
            raise KeyboardInterrupt
        return numbered(start, stop)

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path / "out", 45, "job", counted)
    written = write_shards(tmp_path / "out", 45, "job", counted)
    assert computed == [0, 10, 20, 20, 30, 40]
    assert (written.num_rows, written.num_inputs) == (45, 45)
    assert rows_in(tmp_path / "out")["id"].tolist() == list(range(45))
    assert counts_in(tmp_path / "out", "odd") == (45, 22)


def test_skipped_inputs_have_no_row_and_are_listed(tmp_path):
    def without_seven(start, stop):
        numbers = np.array([number for number in range(start, stop) if number != 7])
        is_here = start <= 7 < stop
        told = (["seven is broken"], ["eight was resized"], [{"id": 8}]) if is_here else ()
        yield PartResult({"id": numbers}, *told)

    written = write_shards(tmp_path / "out", 25, "job", without_seven)
    assert (written.num_rows, written.num_inputs, written.skipped) == (24, 25, ("seven is broken",))
    assert written.notes == ("eight was resized",) and written.records == ({"id": 8},)


def test_progress_counts_the_inputs(tmp_path):
    seen = []
    write_shards(tmp_path / "out", 25, "job", numbered, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (25, 25) and seen == sorted(seen)


def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(tmp_path):
    write_shards(tmp_path / "out", 25, "one", numbered)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UsageError, match=r"out is not empty: part-00000\.parquet is not of this task, model and data"):
        write_shards(tmp_path / "out", 25, "another", numbered)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match=r"notes is not empty: mine\.txt is not of this task"):
        write_shards(tmp_path / "notes", 25, "one", numbered)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_damaged_file_is_computed_again(tmp_path):
    write_shards(tmp_path / "out", 25, "job", numbered)
    damaged = tmp_path / "out" / "part-00001.parquet"
    content = damaged.read_bytes()
    (tmp_path / "out" / SUMMARY).unlink()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match=r"part-00001\.parquet is not of this task"):
        write_shards(tmp_path / "out", 25, "job", numbered)
    damaged.unlink()
    write_shards(tmp_path / "out", 25, "job", numbered)
    assert damaged.read_bytes() == content


def test_a_file_that_vanishes_is_named(tmp_path, monkeypatch):
    def vanishing(start, stop):
        if start == 20:
            (tmp_path / "out" / "part-00000.parquet").unlink()
        return numbered(start, stop)

    with pytest.raises(RunError, match=r"part-00000\.parquet is missing or damaged; remove it, and run the command"):
        write_shards(tmp_path / "out", 25, "job", vanishing)


def test_outputs_that_exclude_each_other_are_refused(tmp_path):
    with pytest.raises(UsageError, match="several ranks write a folder of Parquet files together; give a folder"):
        check_shards(None, None)
    with pytest.raises(UsageError, match="are both given as outputs"):
        check_shards(tmp_path / "a.csv", tmp_path / "b")


def test_a_job_is_recognised_by_everything_it_depends_on():
    assert job_of("encode", model="a", data="b") == job_of("encode", data="b", model="a")
    assert len({job_of("encode", model="a"), job_of("score", model="a"), job_of("encode", model="b")}) == 3
