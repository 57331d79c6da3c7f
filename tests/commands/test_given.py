"""What is given to a command and read by nothing is refused in one line, before anything is computed."""

import numpy as np
import pytest

from command_line import in_process, one_line
from untrained_models import untrained_run

IMAGES = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)


@pytest.fixture
def runs(tmp_path):
    """A run of images and one of a table."""
    np.save(tmp_path / "x.npy", IMAGES)
    heights = np.random.default_rng(0).normal(170, 10, 60).round(1)
    rows = [f"{height},{'ab'[row % 2]}" for row, height in enumerate(heights)]
    (tmp_path / "t.csv").write_text("\n".join(["height,kind", *rows]))
    untrained_run(tmp_path / "images", str(tmp_path / "x.npy"))
    untrained_run(tmp_path / "table", str(tmp_path / "t.csv"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "images", "--grid", "2x2", "--num", 4], "leave out --num"),
        (["sample", "images", "--grid", "2x2", "--folder", "out"], "one file for each image"),
        (["sample", "images", "--out", "a.png", "--folder", "out"], "one file for each image"),
        (["sample", "table", "--folder", "out"], "rows of a table, which are written to one file (.csv, .npz"),
        (["sample", "table", "--grid", "2x2"], "not to a picture. Option: --out"),
        (["summary", "images", "--size", "9x9", "--set", "model.latent_dim=3"], "leave out --size, --set"),
        (["inspect", "images", "--labels", "x.csv"], "leave out --labels"),
        (["inspect", "t.csv", "--out", "a.png"], "contains none; leave out --out"),
        (["inspect", "t.csv", "--resize", "fit"], "data.resize is for image files"),
        (["explore", "images", "--offline", "a.html", "--port", 0], "leave out --port"),
        (["evaluate", "images", "--shards", "out", "--anneal"], "leave out --anneal"),
        (
            ["evaluate", "images", "--shards", "out", "--set", "evaluation.num_exact=3"],
            "leave out evaluation.num_exact",
        ),
        (["fit-prior", "images", "--kind", "flow", "--components", 3, "--out", "out"], "a prior 'flow' has none"),
        (["interpolate", "images", "x.npy", "x.npy", "--data", "y.npy"], "data are not read"),
        (["pack", "x.npy", "out", "--for", "images", "--size", "9x9"], "data.size is decided by the schema of images"),
        (["train", "digits", "--labels", "x.csv"], "data.labels is for files and folders; 'digits' is read as it is"),
    ],
)
def test_what_nothing_would_read_is_refused(runs, monkeypatch, capsys, words, says):
    monkeypatch.chdir(runs)
    before = sorted(runs.rglob("*"))
    assert says in one_line(in_process(capsys, *words, expect=2).err)
    assert sorted(runs.rglob("*")) == before


def test_a_grid_is_the_number_of_samples(runs, capsys):
    in_process(capsys, "sample", runs / "images", "--grid", "3x2", "--out", runs / "grid.png")
    assert (runs / "grid.png").exists()


def test_the_terms_of_examples_are_summarised_as_json(runs, capsys):
    printed = in_process(capsys, "evaluate", runs / "images", "--shards", runs / "out", "--json")
    assert '"num_rows": 6' in printed.out
