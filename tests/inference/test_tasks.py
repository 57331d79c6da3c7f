"""The Python face of a trained model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError, UnknownName, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.inference.tasks import interpolate, reconstruct, sample
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.runs.inputs import read_inputs
from untrained_models import untrained_run

FEW = lb.EvaluationConfig(num_draws=2, importance_draws=20, num_bounded=4, num_gaps=4, manifold_sizes=(3,))


def model_of(event_shape=(1, 8, 8)):
    return build_model(ModelConfig(hidden=(8,), latent_dim=4), event_shape, generator(0, "weights"))


def test_a_model_is_evaluated_on_splits_and_on_a_sources_name_alike():
    splits = load(DataConfig())
    few = np.arange(30)
    small = replace(splits, train=splits.train.subset(few), test=splits.test.subset(few))
    results = lb.evaluate(model_of(), small, FEW)
    assert results.score("elbo").num_examples == 30
    assert results.score("importance-bound").num_draws == 20
    named = lb.evaluate(model_of(), "digits", FEW)
    assert named.score("elbo").num_examples == len(splits.test)
    # The same first images, and the same draws of the same weights.
    assert named.score("importance-bound").value == pytest.approx(results.score("importance-bound").value)


def test_data_of_another_shape_or_of_no_name_are_refused():
    with pytest.raises(DataError, match="of 8×8 pixels with 1 channel, but the model takes examples of 3×2 pixels"):
        lb.evaluate(model_of((1, 2, 3)), "digits")
    with pytest.raises(UnknownName):
        lb.evaluate(model_of(), "digit")


@pytest.mark.parametrize("num", [0, 1])
def test_a_line_of_fewer_points_than_ends_is_refused(tmp_path, num):
    with pytest.raises(UsageError, match=f"at least 2 points, got {num}"):
        interpolate(tmp_path, "0", "1", num)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run of two clusters of images with labels, in memory."""
    path = tmp_path_factory.mktemp("labelled")
    stream = np.random.default_rng(0)
    dark, bright = stream.integers(0, 60, (60, 8, 8), np.uint8), stream.integers(190, 256, (60, 8, 8), np.uint8)
    for label, images in (("dark", dark), ("bright", bright)):
        (path / "photos" / label).mkdir(parents=True)
        for index, image in enumerate(images):
            Image.fromarray(image).save(path / "photos" / label / f"{index}.png")
    return untrained_run(path / "run", str(path / "photos"))


def test_a_line_between_labels_begins_and_ends_at_the_example_nearest_to_the_mean_code_of_its_label(labelled, tmp_path):
    out = interpolate(labelled.path, from_label="dark", to_label="bright", num_examples=5, out=tmp_path / "line.png")
    test = read_inputs(labelled, [])
    codes = labelled.vae.encode(scaled(test.examples)).centre.detach().numpy()
    labels = np.asarray(test.examples.labels)
    nearest = []
    for label in ("dark", "bright"):
        of_label = np.flatnonzero(labels == test.label_names.index(label))
        distances = np.linalg.norm(codes[of_label] - codes[of_label].mean(0), axis=1)
        nearest.append(str(of_label[distances.argmin()]))
    again = interpolate(labelled.path, *nearest, num_examples=5, out=tmp_path / "again.png")
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(again)))


def test_an_output_in_the_working_directory_is_written_again(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert interpolate(labelled.path, "0", to_label="bright", out=Path("line.png")).exists()
    with pytest.raises(UnknownName, match="unknown label"):
        interpolate(labelled.path, "0", to_label="grey", out=Path("line.png"))


@pytest.mark.parametrize(
    ("ends", "error", "says"),
    [
        ({}, UsageError, "needs two ends, each given once"),
        ({"first": "0"}, UsageError, "needs two ends"),
        ({"first": "0", "second": "1", "to_label": "dark"}, UsageError, "needs two ends"),
        ({"from_label": "drak", "to_label": "dark"}, UnknownName, "did you mean 'dark'"),
    ],
)
def test_a_line_without_two_ends_or_to_an_unknown_label_is_refused(labelled, ends, error, says):
    with pytest.raises(error, match=says):
        interpolate(labelled.path, **ends)


def test_one_end_may_be_a_label_and_the_other_an_example(labelled, tmp_path):
    by_number = interpolate(labelled.path, "3", to_label="dark", out=tmp_path / "a.png")
    swapped = interpolate(labelled.path, "3", from_label="dark", out=tmp_path / "b.png")
    first, second = (np.asarray(Image.open(path)) for path in (by_number, swapped))
    np.testing.assert_allclose(first[:64, :64].astype(int), second[:64, -64:].astype(int), atol=1)


def test_a_strip_of_reconstructions_has_captions(labelled, tmp_path):
    found = reconstruct(labelled.path, [], 4, out=tmp_path / "strip.png")
    height, width, _ = np.asarray(Image.open(found.path)).shape
    assert width == 4 * 64 + 3 * 2 and height > 2 * 64 + 2 + 20


@pytest.mark.parametrize("words", [["--max-batch", "5000", "--max-queue", "4999"], ["--max-queue", "255"]])
def test_a_queue_too_short_for_the_largest_request_is_refused(capsys, tmp_path, words):
    line = one_line(in_process(capsys, "serve", tmp_path, *words, expect=2).err)
    assert "--max-queue is" in line and "raise it, or lower --max-batch" in line


@pytest.mark.parametrize(
    "task", [lambda run, out: sample(run, 5, out=out), lambda run, out: reconstruct(run, [], out=out)]
)
def test_rows_of_a_run_on_a_table_with_decimal_commas_are_read_by_it_again(tmp_path, task):
    heights = np.random.default_rng(0).normal(1.7, 0.1, 60).round(2)
    lines = [f"{str(height).replace('.', ',')};{'ab'[row % 2]}" for row, height in enumerate(heights)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["height;kind", *lines]))
    run = tmp_path / "run"
    model = untrained_run(run, str(table))
    task(run, tmp_path / "rows.csv")
    values = read_inputs(model, [str(tmp_path / "rows.csv")]).examples.values
    assert (np.abs(values[:, 0] - 1.7) < 5).all() and len(values) >= 5
    written = pd.read_csv(tmp_path / "rows.csv", sep=";", decimal=",")
    np.testing.assert_allclose(written["height"], values[:, 0], rtol=1e-6)


@pytest.mark.parametrize("command", ["sample", "encode", "reconstruct", "interpolate"])
def test_results_of_a_model_file_need_an_output(labelled, tmp_path, capsys, command):
    file = lb.save(labelled, tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8), np.uint8))
    words = [command, file, *[tmp_path / "x.npy"] * {"sample": 0, "interpolate": 2}.get(command, 1)]
    told = one_line(in_process(capsys, *words, expect=2).err)
    assert "is a model file, without a directory for results; name the output. Option: --out." in told
    out = tmp_path / ("x.csv" if command == "encode" else "x.png")
    in_process(capsys, *words, "--out", out)
    assert out.exists()


def test_a_model_file_has_no_thresholds_and_what_has_them_is_named(labelled, tmp_path, capsys):
    file = lb.save(labelled, tmp_path / "model.safetensors")
    told = one_line(in_process(capsys, "score", file, tmp_path, expect=2).err)
    assert "has no thresholds for anomaly scores: a model file contains none; give the run's directory, or a" in told
