import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from command_line import in_process, one_line

SMALL = ["--set", "model.hidden=[16]", "--set", "evaluation.num_draws=2", "--set", "evaluation.num_exact=4"]
COMMANDS = ["train", "demo", "evaluate", "report", "sample", "reconstruct", "encode", "interpolate", "summary"]
COMMANDS += ["recipes", "data", "compare", "diagnose", "inspect", "score", "impute"]


def lowerbound(*words, expect=0, **options):
    command = [sys.executable, "-m", "lowerbound", *map(str, words)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    words = ["digits", "--recipe", "dense", "--epochs", 2, *SMALL, "--out", path]
    finished = lowerbound("train", *words, "--json")
    scores = {(score["name"], score["split"]): score for score in json.loads(finished.stdout)["scores"]}
    assert scores["elbo", "test"]["unit"] == "nats"
    assert "epoch   2/2" in finished.stderr
    return path


def test_help_is_grouped_has_examples_and_needs_no_torch():
    script = "import sys; sys.argv = ['lowerbound', '--help']\nfrom lowerbound.cli import main\ntry: main()\n"
    script += "finally: print([name for name in ('torch', 'sklearn', 'matplotlib', 'pydantic') if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert finished.stdout.strip().endswith("[]")
    for text in ("Train and evaluate", "Use a trained model", "Inspect and list", "lowerbound train digits", *COMMANDS):
        assert text in finished.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys, command):
    assert "Usage: lowerbound" in in_process(capsys, command, "--help").out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_no_value_for_a_flag(capsys, command):
    assert "<bool>" not in in_process(capsys, *command.split(), "--help").out


@pytest.mark.parametrize(
    ("command", "arguments"), [("compare", "RUN RUN..."), ("serve", "RUN..."), ("encode", "RUN [DATA|FILES]...")]
)
def test_the_usage_line_names_arguments_without_braces(capsys, command, arguments):
    usage = next(line for line in in_process(capsys, command, "--help").out.splitlines() if "Usage:" in line)
    assert usage.strip() == f"Usage: lowerbound {command} [OPTIONS] {arguments}"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["trian"], 2, "Did you mean 'train'"),
        (["train", "--recip", "conv"], 2, "--recipe"),
        (["train", "--recipe", "cnov"], 2, "did you mean 'conv'"),
        (["train", "minst"], 2, "did you mean 'mnist'"),
        (["train", "nowhere/images.npy"], 1, "nowhere/images.npy"),
        (["train", "--set", "training.num_epoch=1"], 2, "did you mean 'training.num_epochs'"),
        (["train", "--set", "training.num_epochs"], 2, "section.key=value"),
        (["train", "--epochs", "0"], 2, "--epochs"),
        (["train", "--device", "gpu"], 2, "auto, cpu, cuda"),
        (["train", "--resume"], 2, "--resume needs --out"),
        (["train", "--resume", "--out", "nothing-here"], 2, "is not a run directory"),
        (["summary", "densse"], 2, "did you mean 'dense'"),
        (["summary", "conv", "--size", "28"], 2, "WIDTHxHEIGHT"),
        (["report", "nothing-here"], 2, "is not a run directory"),
        (["sample", "nothing-here"], 2, "does not exist"),
        (["evaluate", "nothing-here"], 2, "is not a run directory"),
    ],
)
def test_wrong_requests_get_one_line_and_a_status(capsys, monkeypatch, tmp_path, words, status, says):
    monkeypatch.chdir(tmp_path)
    captured = in_process(capsys, *words, expect=status)
    assert says in one_line(captured.err)
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_absent_data_offline_are_asked_for_with_the_place_to_put_them(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOWERBOUND_DATA", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    captured = in_process(capsys, "train", "mnist", "--out", tmp_path / "run", expect=1)
    # The lines before the last say what was tried.
    assert "put train-images-idx3-ubyte.gz" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_summary_counts_the_parameters_of_the_reference_networks(capsys):
    conv = in_process(capsys, "summary", "tutorial-conv").out
    for number in ("69,076", "65,089", "134,165"):
        assert number in conv
    assert "of 28×28 pixels with 1 channel, 2 latents" in conv
    dense = in_process(capsys, "summary", "dense").out
    assert "403,972" in dense
    assert "403,728" in dense


def test_summary_as_json_and_for_other_sizes(capsys):
    about = json.loads(in_process(capsys, "summary", "conv", "--size", "9x5", "--channels", 3, "--json").out)
    assert about["decoder"][-1]["output_shape"] == [3, 5, 9]
    assert about["num_parameters"] == sum(row["num_parameters"] for row in about["encoder"] + about["decoder"])


def test_lists_of_recipes_and_data(capsys):
    assert "tutorial-conv" in in_process(capsys, "recipes").out
    assert set(json.loads(in_process(capsys, "recipes", "--json").out)) >= {"dense", "conv", "tutorial-dense"}
    sources = json.loads(in_process(capsys, "data", "--json").out)["sources"]
    assert {"name", "shape", "range", "sizes", "origin", "licence"} == set(sources[0])


def test_the_run_can_be_summed_up_and_reported_again(capsys, run):
    assert "8×8 pixels" in in_process(capsys, "summary", run).out
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert str(run / "report.html") in in_process(capsys, "report", run).out
    assert (run / "report.html").read_bytes() == before


@pytest.mark.usefixtures("without_figures")
def test_the_run_can_be_evaluated_again(capsys, run):
    few = [word for key in ("num_bounded", "num_gaps") for word in ("--set", f"evaluation.{key}=10")]
    words = ["evaluate", run, "--set", "evaluation.num_draws=3", *few, "--json"]
    scores = json.loads(in_process(capsys, *words).out)["scores"]
    assert scores[0]["num_draws"] == 3
    assert {"mutual-information", "importance-bound", "amortisation-gap"} <= {score["name"] for score in scores}
    in_process(capsys, "evaluate", run, "--set", "training.seed=3", expect=2)


@pytest.mark.usefixtures("without_figures")
def test_annealing_is_asked_for_with_a_flag_and_the_doctor_is_heard(capsys, run):
    settings = ["num_bounded=4", "num_gaps=4", "importance_draws=50", "num_simulated=2", "num_annealed=3",
                "annealing.num_temperatures=20", "annealing.num_chains=2"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", f"evaluation.{setting}")]
    captured = in_process(capsys, "evaluate", run, "--anneal", *words)
    assert "annealed-evidence" in captured.out
    assert "annealing-bracket" in captured.out
    assert "annealing test examples ..." in captured.err
    assert "threshold" in captured.out or "no problems found" in captured.out
    wrong = in_process(capsys, "evaluate", run, "--set", "evaluation.annealing.num_temperatures=0", expect=2)
    assert "num_temperatures needs at least 1" in one_line(wrong.err)
    unknown = in_process(capsys, "evaluate", run, "--set", "evaluation.annealing.temperatures=9", expect=2)
    assert "temperatures" in one_line(unknown.err)


def test_samples_are_seeded_and_have_the_number_asked_for(capsys, run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        in_process(capsys, "sample", run, "--num", 6, "--seed", seed, "--out", tmp_path / f"{name}.png")
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    width, height = Image.open(tmp_path / "a.png").size
    assert width / height == pytest.approx(3 / 2, rel=0.05)


def test_reconstructing_new_files_of_the_right_size_works_and_of_a_wrong_size_is_refused(capsys, run, tmp_path):
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(tmp_path / "right.png")
    Image.fromarray(np.full((9, 8), 128, np.uint8)).save(tmp_path / "wrong.png")
    words = ["reconstruct", run, tmp_path / "right.png", "--out", tmp_path / "pair.png", "--json"]
    result = json.loads(in_process(capsys, *words).out)
    assert result["scores"][0]["num_examples"] == 1
    assert Image.open(tmp_path / "pair.png").size[1] > Image.open(tmp_path / "pair.png").size[0]
    captured = in_process(capsys, "reconstruct", run, tmp_path / "wrong.png", expect=2)
    assert "examples are 1×9×8×1, but the model was trained on N×8×8×1" in one_line(captured.err)


def test_codes_are_written_as_csv_and_npz_with_the_same_numbers(capsys, run, tmp_path):
    for suffix in ("csv", "npz"):
        in_process(capsys, "encode", run, "digits", "--out", tmp_path / f"codes.{suffix}")
    table = np.genfromtxt(tmp_path / "codes.csv", delimiter=",", names=True)
    arrays = np.load(tmp_path / "codes.npz")
    assert table.dtype.names == ("id", "mean_1", "mean_2", "log_variance_1", "log_variance_2", "label")
    assert len(table) == 360
    np.testing.assert_allclose(table["mean_2"], arrays["mean"][:, 1], rtol=1e-6)
    np.testing.assert_array_equal(table["label"], arrays["label"])
    captured = in_process(capsys, "encode", run, "digits", "--out", tmp_path / "codes.xls", expect=2)
    assert ".csv, .npz" in one_line(captured.err)


def test_interpolation_takes_numbers_and_files(capsys, run, tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    in_process(capsys, "interpolate", run, "3", tmp_path / "black.png", "--num", 5, "--out", tmp_path / "line.png")
    width, height = Image.open(tmp_path / "line.png").size
    assert width / height == pytest.approx(5, rel=0.05)
    assert "accepted: 0 to 359" in one_line(in_process(capsys, "interpolate", run, "3", "360", expect=2).err)


def test_a_damaged_model_is_refused_in_one_line(capsys, run, tmp_path):
    content = bytearray((run / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "damaged" in one_line(in_process(capsys, "sample", tmp_path, expect=1).err)


@pytest.mark.usefixtures("without_figures")
def test_runs_are_compared_image_by_image_and_unlike_runs_are_not(capsys, run, tmp_path):
    """A run against itself differs by nothing; against another by the mean of the differences."""
    for name, words in (("more", ["--epochs", 6]), ("binary", ["--epochs", 1, "--set", "data.binarisation=static"])):
        in_process(capsys, "train", "digits", "--recipe", "dense", *words, *SMALL, "--out", tmp_path / name, "--quiet")
    words = ["compare", run, tmp_path / "more", "--out", tmp_path / "differences.png", "--json"]
    reference, row = json.loads(in_process(capsys, *words).out)["rows"]
    assert reference["difference"] is None
    assert row["difference"]["value"] == pytest.approx(row["score"]["value"] - reference["score"]["value"], abs=1e-4)
    assert row["difference"]["standard_error"] < row["score"]["standard_error"]
    assert Image.open(tmp_path / "differences.png").size[0] > 1000
    assert "better" in in_process(capsys, "compare", run, tmp_path / "more").out
    captured = in_process(capsys, "compare", run, tmp_path / "binary", expect=2)
    assert "different data conventions (grey; static binarisation, seed 0)" in one_line(captured.err)
    assert "at least two runs" in one_line(in_process(capsys, "compare", run, expect=2).err)


def test_ctrl_c_saves_and_prints_the_command_that_continues(tmp_path):
    path = tmp_path / "run"
    words = ["lowerbound", "train", "digits", "--recipe", "dense", "--epochs", "500", "--out", path]
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    while not (path / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"lowerbound train --resume --out {path}" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert list((path / "checkpoints").iterdir())


@pytest.mark.usefixtures("without_figures")
def test_the_autoencoder_baseline_trains_and_refuses_to_sample(capsys, tmp_path):
    words = ["train", "digits", "--recipe", "autoencoder", "--epochs", 1, "--out", tmp_path / "run"]
    assert "reconstruction-error" in in_process(capsys, *words).out
    captured = in_process(capsys, "sample", tmp_path / "run", expect=2)
    assert "no prior" in one_line(captured.err)


def test_nothing_can_be_written_where_a_file_stands_in_the_way(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ["train", "digits", "--epochs", 1, "--out", tmp_path / "file" / "run"]
    assert "file" in one_line(in_process(capsys, *words, expect=1).err.splitlines()[-1])
