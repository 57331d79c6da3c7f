"""Real ranks: the curves of 1 to 4 agree, one writes, refusals and errors are one line, restarts lose no step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

import rank_jobs
from lowerbound.runs.ranks import describe_ranks
from ranks import environment, free_port, results_of_ranks

JOBS = Path(rank_jobs.__file__)
NUMBERS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def curves(folder):
    return results_of_ranks(JOBS, "curves", NUMBERS, folder)


@pytest.mark.parametrize("case", rank_jobs.CASES)
def test_any_number_of_ranks_gives_the_curve_of_one_process(curves, case):
    expected = curves[1][0][case]["curve"]
    for num_ranks in NUMBERS[1:]:
        assert curves[num_ranks][0][case]["curve"] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("num_ranks", NUMBERS[1:])
def test_every_rank_has_the_same_records_and_weights_to_the_bit(curves, num_ranks):
    assert all(found == curves[num_ranks][0] for found in curves[num_ranks])


@pytest.mark.parametrize("num_ranks", NUMBERS)
def test_rows_and_texts_of_all_ranks_are_gathered_in_order(curves, num_ranks):
    expected = [[float(rank)] * 2 for rank in range(num_ranks) for _ in range(rank)]
    assert curves[num_ranks][0]["gathered"] == expected
    assert curves[num_ranks][0]["texts"] == [f"ä{rank}\n" for rank in range(num_ranks)]


@pytest.mark.parametrize("num_ranks", NUMBERS)
def test_a_run_that_one_rank_stopped_continues_to_the_same_bits(curves, num_ranks):
    found = curves[num_ranks][0]
    assert found["resumed"]["stopped"] == "stopped at step 7 of epoch 2."
    assert found["resumed"]["weights"] == found["adam"]["weights"]


def test_a_run_continues_on_another_number_of_ranks(curves, folder):
    continued = results_of_ranks(JOBS, "continued", (3,), folder)[3][0]
    assert sorted(continued) == ["1", "2", "3", "4"]
    expected = curves[1][0]["resumed"]["curve"]
    for found in continued.values():
        assert found["curve"] == pytest.approx(expected, rel=1e-5)


def test_what_ranks_cannot_do_is_refused_on_all_of_them_and_leaves_nothing(tmp_path):
    first, second = results_of_ranks(JOBS, "refusals", (2,), tmp_path)[2]
    for refusal, words in {
        "no directory": "UsageError: training on several ranks needs `out`",
        "penalties": "ConfigError: objective.penalties (mmd) needs",
        "small batch": "ConfigError: training.batch_size is 1 for 2 ranks",
        "occupied": "UsageError: ",
        "diverging": "NonFiniteLoss: the loss became nan: the",
    }.items():
        assert first[refusal] == second[refusal]
        assert first[refusal].startswith(words)
    assert first["on one rank"].startswith("OtherRankFailed: rank 1: nowhere.csv is not")
    assert second["on one rank"].startswith("DataError: nowhere.csv is not")
    assert "does not see the run that rank 0 writes into" in second["invisible"]
    assert first["left"] == ["d", "e-0", "occupied"]


@pytest.fixture(scope="module")
def undisturbed(folder):
    """A run of two ranks, and what each of them returned."""
    return folder / "run-2", results_of_ranks(JOBS, "trained", (2,), folder)[2]


def test_one_rank_writes_and_speaks_and_all_return_its_run(undisturbed):
    first, second = undisturbed[1]
    assert first["scores"] == second["scores"] and (first["is writer"], second["is writer"]) == (True, False)
    assert first["printed"][0] == "2 ranks (gloo): each takes 128 of the 256 examples of a batch"
    assert "record" in first["printed"] and second["printed"] == []
    steps = [record["step"] for record in records_of(undisturbed[0])]
    assert steps == sorted(set(steps))


def records_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    varying = {"seconds", "examples_per_second", "seconds_left", "checksum"}
    return [{key: value for key, value in line.items() if key not in varying} for line in lines]


def test_after_a_killed_rank_torchrun_continues_to_the_same_bits(undisturbed, tmp_path):
    launch = launched(tmp_path / "run", "--max-restarts", "1", "--monitor-interval", "0.1")
    wait_for(tmp_path / "run" / "checkpoints", lambda place: len(list(place.glob("step-*"))) == 2)
    os.kill(ranks_of(launch)[1], signal.SIGKILL)
    _, printed = launch.communicate(timeout=120)
    assert launch.returncode == 0, printed
    assert "Traceback" not in printed and "resuming after step" in printed
    assert sum(line.startswith("lowerbound: ") for line in printed.splitlines()) <= 1
    expected, found = (load_file(run / "model.safetensors") for run in (undisturbed[0], tmp_path / "run"))
    assert all(found[name].equal(tensor) for name, tensor in expected.items())
    assert records_of(tmp_path / "run") == records_of(undisturbed[0])
    assert not [path for path in (tmp_path / "run").rglob(".*")]


def test_ranks_end_with_torchrun(tmp_path):
    launch = launched(tmp_path / "run")
    wait_for(tmp_path / "run" / "metrics.jsonl", Path.exists)
    ranks = ranks_of(launch)
    launch.kill()
    launch.communicate()
    wait_for(Path("/proc"), lambda proc: not any(is_running(proc / str(pid)) for pid in ranks))


def launched(out, *options):
    """`lowerbound train` under torchrun, with the settings of the undisturbed run."""
    settings = [f"{section}.{key}={json.dumps(value)}" for section, keys in rank_jobs.RUN.items()
                for key, value in keys.items()]  # fmt: skip
    words = ["train", "digits", "--recipe", "dense", "--out", str(out)]
    words += [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *options]
    command += ["--master-port", str(free_port()), "-m", "lowerbound", *words]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=out.parent
    )


def ranks_of(launch):
    children = Path(f"/proc/{launch.pid}/task/{launch.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def wait_for(path, is_there, timeout=60):
    deadline = time.monotonic() + timeout
    while not is_there(path):
        assert time.monotonic() < deadline, f"{path} after {timeout} s"
        time.sleep(0.01)


def is_running(process):
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("num_ranks", "batch_size", "sizes"), [(2, 128, "64"), (3, 128, "42 or 43")])
def test_the_shares_of_a_batch_are_described_in_one_line(num_ranks, batch_size, sizes):
    line = describe_ranks(num_ranks, "gloo", batch_size)
    assert line == f"{num_ranks} ranks (gloo): each takes {sizes} of the {batch_size} examples of a batch"
