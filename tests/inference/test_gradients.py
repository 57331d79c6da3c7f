"""lb.gradients: estimators at the model of a run, of images and of tables, and a figure."""

import json
from dataclasses import replace

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.evaluation import gradient_bench
from lowerbound.foundation.errors import ConfigError, LowerboundError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.inference.gradients import as_json
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from untrained_models import untrained_run

RNG = np.random.default_rng(0)
IMAGES = (RNG.random((40, 8, 8)) > 0.6).astype(np.uint8) * 255
TABLE = {"height": RNG.normal(170, 9, 60).round(1).tolist(), "city": RNG.choice(["Ulm", "Köln"], 60).tolist()}
FEW = {"num_examples": 2, "num_estimates": 100}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(gradient_bench, "TIMING", 0.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on files, so that their data can be read again."""
    folder = tmp_path_factory.mktemp("gradients")
    np.save(folder / "images.npy", IMAGES)
    rows = ["height,city", *(f"{height},{city}" for height, city in zip(*TABLE.values(), strict=True))]
    (folder / "people.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    untrained_run(folder / "images", str(folder / "images.npy"))
    untrained_run(folder / "people", str(folder / "people.csv"))
    return folder


@pytest.mark.parametrize("name", ["images", "people"])
def test_runs_of_every_kind_of_data_are_measured(runs, name):
    bench = lb.gradients(runs / name, **FEW)
    assert sum(not row.left_out for row in bench.estimators) == 8
    assert bench.num_examples == 2


def test_the_figure_is_written_and_the_results_are_json(runs, tmp_path):
    bench = lb.gradients(lb.load(runs / "images"), **FEW, out=tmp_path / "variances.png")
    assert (tmp_path / "variances.png").stat().st_size > 0
    found = json.loads(json.dumps(as_json(bench), allow_nan=False))
    (dreg,) = (row for row in found["estimators"] if row["name"] == "dreg")
    assert dreg["seconds"] == {"value": None, "standard_error": None}
    assert found["estimators"][0]["statistics"]["mean"]["variance"]["value"] > 0


def test_an_autoencoder_is_refused(runs, tmp_path):
    trained = lb.load(runs / "images")
    config = ModelConfig(hidden=(4,), posterior="point-mass")
    trained = replace(trained, vae=build_model(config, trained.vae.event_shape, generator(0, "weights")))
    with pytest.raises(ConfigError, match="no ELBO"):
        lb.gradients(trained, out=tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_anything_but_a_run_is_refused_before_anything_is_written(runs, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        lb.gradients(tmp_path / "nowhere", out=tmp_path / "figure.png")
    with pytest.raises(LowerboundError, match=r"\.png"):
        lb.gradients(runs / "images", out=tmp_path / "figure.jpg")
    with pytest.raises(LowerboundError, match=r"people\.csv"):
        lb.gradients(runs / "people.csv", out=tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []
