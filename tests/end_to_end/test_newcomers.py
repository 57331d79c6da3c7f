"""What people try first: a run in place of data, an output over an input, settings as a shell leaves them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.commands.assignments import parse_settings
from lowerbound.data.column_writers import check_output
from lowerbound.data.sources import DataConfig, collect
from lowerbound.foundation.errors import ConfigError, DataError, SchemaError, UsageError
from lowerbound.inference import tasks
from lowerbound.runs.experiment import from_settings
from lowerbound.runs.inspection import inspect
from untrained_models import untrained_run

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 8), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = untrained_run(tmp_path_factory.mktemp("images"), IMAGES)
    (model.path / "metrics.jsonl").write_text("")
    return model


def test_a_run_is_inspected_by_its_schema_and_is_not_data(run, capsys):
    printed = in_process(capsys, "inspect", run.path).out
    assert "trained on images 8 × 8 × 1 of uint8" in printed and "'data.range=[0, 255]'" in printed
    assert json.loads(in_process(capsys, "inspect", run.path, "--json").out)["dtype"] == "uint8"
    with pytest.raises(DataError, match="is a run directory, not data"):
        collect(DataConfig(source=str(run.path)))


def test_a_folder_that_contains_runs_is_not_data_however_deep_they_are(run, tmp_path):
    """Such as one of several seeds, or of photographs with the run that was trained on them."""
    for place in ("seeds/seed-0", "photos/old/runs/first"):
        shutil.copytree(run.path, tmp_path / place)
        folder = tmp_path / place.partition("/")[0]
        Image.fromarray(IMAGES[0]).save(folder / "picture.png")
        with pytest.raises(DataError, match=f"{place} is a run directory, not data"):
            collect(DataConfig(source=str(folder)))


@pytest.mark.parametrize("name", ["photos/1.png", "photos", "values.npy", "sheet.csv"])
def test_no_picture_is_written_over_an_input_or_in_a_file_of_another_kind(tmp_path, name):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(IMAGES[number]).save(tmp_path / "photos" / f"{number}.png")
    np.save(tmp_path / "values.npy", IMAGES)
    source = tmp_path / ("photos" if name.startswith("photos") else "values.npy")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"is the input, or part of it|are written as \.png"):
        inspect(DataConfig(source=str(source)), tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_output_is_known_through_links_and_a_new_file_beside_inputs_is_accepted(tmp_path):
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "in.csv")
    with pytest.raises(UsageError, match="is the input, or part of it"):
        check_output(tmp_path / "link.csv", [str(tmp_path / "in.csv")])
    check_output(tmp_path / "out.csv", [str(tmp_path)])


@pytest.mark.parametrize("word", ['data.exclude=["c"]', "data.exclude=[c]", "data.exclude=c"])
def test_a_list_of_names_is_taken_as_a_shell_leaves_it(word):
    assert from_settings("x", parse_settings([word])).data.exclude == ("c",)


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ('data.columns."a.b=c".kind="numeric"', ["data", "columns", "a.b=c", "kind"]),
        ("data.columns.'x y'.kind=count", ["data", "columns", "x y", "kind"]),
        ("training . num_epochs = 3", ["training", "num_epochs"]),
    ],
)
def test_keys_are_those_of_toml(word, keys):
    settings = parse_settings([word])
    for key in keys:
        settings = settings[key]
    assert settings in ("numeric", "count", 3)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"exclude": ("a",)}, "data.exclude is for tables; .* contains an array"),
        ({"decimal": ","}, "data.decimal is for tables"),
        ({"channels": 3}, "data.channels is for image files"),
        ({"range": (1.0, 0.0)}, "the lower one first"),
    ],
)
def test_settings_that_say_nothing_of_the_data_are_refused(tmp_path, settings, reason):
    np.save(tmp_path / "x.npy", RNG.normal(size=(9, 4)))
    with pytest.raises(ConfigError, match=reason):
        collect(DataConfig(source=str(tmp_path / "x.npy"), **settings))
    if "range" in settings:
        (tmp_path / "x.csv").write_text("a,b\n1.5,2\n2.5,3\n3,4.5\n")
        with pytest.raises(ConfigError, match=r"data\.range is for images and arrays"):
            collect(DataConfig(source=str(tmp_path / "x.csv"), range=(0.0, 2.0)))


def test_what_is_not_there_or_of_another_kind_is_refused_by_its_name(run, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        tasks.encode(run.path, ["nowhere"], out=tmp_path / "codes.csv")
    (tmp_path / "table.csv").write_text("a,b\n1,x\n")
    with pytest.raises(SchemaError, match="contains a table, but the model was trained on images of 8×8×1"):
        tasks.encode(run.path, [str(tmp_path / "table.csv")], out=tmp_path / "codes.csv")
    with pytest.raises(UsageError, match=r"is not a model; give a run directory or a model\.safetensors"):
        lb.load(tmp_path / "table.csv")


def test_thresholds_that_were_removed_are_said_to_be_missing(tmp_path):
    model = untrained_run(tmp_path / "run", IMAGES)
    (tmp_path / "run" / "calibration.safetensors").unlink()
    with pytest.raises(UsageError, match=r"calibration\.safetensors is missing"):
        model.score(IMAGES[:2])


def test_one_example_is_counted_and_has_no_error(run, tmp_path, capsys):
    np.save(tmp_path / "one.npy", IMAGES[:1])
    printed = in_process(capsys, "reconstruct", run.path, tmp_path / "one.npy", "--out", tmp_path / "x.png").out
    assert "given: 1 example, levels" in printed and "nan" not in printed
    reported = in_process(
        capsys, "reconstruct", run.path, tmp_path / "one.npy", "--out", tmp_path / "x.png", "--json"
    ).out
    assert {score["standard_error"] for score in json.loads(reported)["scores"]} == {None}


@pytest.mark.parametrize(("names", "place"), [(["0", "1"], "2 image files: "), (["1"], ""), (["folder"], "")])
def test_an_image_that_does_not_fit_is_named_by_its_file(tmp_path, names, place):
    binary = (RNG.random((30, 8, 8)) > 0.5).astype(np.uint8) * 255
    untrained_run(tmp_path / "run", binary)
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate([binary[0], np.full((8, 8), 77, np.uint8)]):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    inputs = [str(tmp_path / "pictures" / f"{name}.png") for name in names]
    named = f"{place}{tmp_path}/pictures/1.png, element"
    if names == ["folder"]:
        inputs, named = [str(tmp_path / "pictures")], f"{tmp_path}/pictures: 1.png, element"
    with pytest.raises(SchemaError) as refusal:
        tasks.reconstruct(tmp_path / "run", inputs, out=tmp_path / "x.png")
    assert str(refusal.value).startswith(named)


def test_a_run_killed_while_it_was_evaluated_is_scored_once_it_is_evaluated(tmp_path, capsys):
    model = untrained_run(tmp_path / "run", IMAGES)
    (tmp_path / "run" / "calibration.safetensors").unlink()
    np.save(tmp_path / "x.npy", IMAGES[:2])
    message = one_line(in_process(capsys, "score", model.path, tmp_path / "x.npy", expect=2).err)
    assert message.endswith(f"evaluate the run, which measures them. Run: lowerbound evaluate {model.path}")
