import json
import re

import numpy as np
import pytest
from PIL import Image

from command_line import SMALL, in_process, lowerbound, one_line


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    words = ["digits", "--recipe", "dense", "--epochs", 2, *SMALL, "--out", path]
    finished = lowerbound("train", *words, "--json")
    scores = {(score["name"], score["split"]): score for score in json.loads(finished.stdout)["scores"]}
    assert scores["elbo", "test"]["unit"] == "nats"
    assert "epoch 2/2" in finished.stderr
    return path


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
        (["train", "--resume"], 2, "'--resume' requires an argument"),
        (["train", "--resume", "x", "--out", "x"], 2, "leave out --out"),
        (["train", "--resume", "nothing-here", "--seeds", "2"], 2, "nothing-here contains no run"),
        (["train", "--resume", "nothing-here"], 2, "is not a run directory"),
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


def test_files_of_another_size_are_resized_to_be_reconstructed_and_it_is_said(capsys, run, tmp_path):
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(tmp_path / "right.png")
    Image.fromarray(np.full((9, 8), 128, np.uint8)).save(tmp_path / "other.png")
    words = ["reconstruct", run, tmp_path / "right.png", "--out", tmp_path / "pair.png", "--json"]
    result = json.loads(in_process(capsys, *words).out)
    assert result["scores"][0]["num_examples"] == 1
    assert Image.open(tmp_path / "pair.png").size[1] > Image.open(tmp_path / "pair.png").size[0]
    printed = in_process(capsys, "reconstruct", run, tmp_path / "other.png", "--out", tmp_path / "pair.png")
    assert "1 of 1 resized to 8×8 pixels, cropped" in printed.out + printed.err


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
    picture = Image.open(tmp_path / "line.png")
    assert picture.width / picture.height == pytest.approx(5 * 66 / (64 + 35), rel=0.05)  # two lines of captions below
    assert np.asarray(picture)[80:].min() < 128
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
    scores = {score["name"]: score for score in json.loads(in_process(capsys, *words).out)["scores"]}
    assert {"elbo", "distortion", "rate", "squared-error", "grey-evidence"} <= scores.keys()
    reference, row = scores["elbo"]["rows"]
    assert reference["difference"] is None
    assert row["difference"]["value"] == pytest.approx(row["score"]["value"] - reference["score"]["value"], abs=1e-4)
    assert row["difference"]["standard_error"] < row["score"]["standard_error"]
    assert Image.open(tmp_path / "differences.png").size[0] > 1000
    page = tmp_path / "comparison.html"
    assert "better" in in_process(capsys, "compare", run, tmp_path / "more", "--out", page).out
    assert "Paired differences" in page.read_text(encoding="utf-8")
    refused = one_line(
        in_process(capsys, "compare", run, tmp_path / "more", "--out", tmp_path / "page.pdf", expect=2).err
    )
    assert "accepted: .html, .png" in refused
    captured = in_process(capsys, "compare", run, tmp_path / "binary", expect=2)
    assert "different test examples (digits, 360 examples, grey, checksum" in one_line(captured.err)
    assert "is given more than once" in one_line(in_process(capsys, "compare", run, run, expect=2).err)
    assert "at least two runs" in one_line(in_process(capsys, "compare", run, expect=2).err)


def test_a_message_about_words_ends_in_one_full_stop(capsys):
    for words in (["train", "--bogus"], ["bogus"], ["evaluate"]):
        message = one_line(in_process(capsys, *words, expect=2).err)
        assert re.search(r"[^ .]\. See lowerbound( \w+)? --help\.$", message), message
