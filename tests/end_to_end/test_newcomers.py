"""What people try first: a run in place of data, an output over an input, settings as a shell leaves them."""

import json

import numpy as np
import pytest
from PIL import Image

import lowerbound as lb
from command_line import in_process
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
