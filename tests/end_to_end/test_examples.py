"""The examples run, and make what the documents say of them."""

import runpy
from pathlib import Path

import pytest

from lowerbound.data.data_kinds import kind_of
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import ImageOptions

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.usefixtures("few_examples", "without_figures")
def test_the_example_of_the_python_interface_runs(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "train_and_look.py"))
    example["main"](tmp_path / "run", num_epochs=1)
    printed = capsys.readouterr().out
    assert "nats, test split, grey pixels" in printed
    assert (tmp_path / "run" / "report.html").exists()


def test_the_example_makes_five_kinds_of_data_that_are_read_as_such(tmp_path):
    runpy.run_path(str(EXAMPLES / "own_data.py"))["main"](tmp_path)
    photos = read(tmp_path / "photos", ReadingOptions(images=ImageOptions(skip_broken=True)))
    assert photos.examples.event_shape == (3, 32, 48) and len(photos.skipped) == 1
    assert photos.label_names == ("china", "flower")
    mixed = read(tmp_path / "mixed")
    assert mixed.notes[0] == "20 of 200 rotated upright" and "200 of 200 resized" in mixed.notes[1]
    wine, depth, icons = (read(tmp_path / name).examples for name in ("wine.csv", "depth", "icons"))
    assert wine.values.shape == (178, 14) and wine.support.has_missing
    assert (depth.event_shape, kind_of(depth)) == ((1, 24, 40), "unit")
    assert (icons.event_shape, kind_of(icons)) == ((3, 17, 17), "colour")
