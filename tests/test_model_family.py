"""Every objective of a paper trains and reports; every kind of model is right in report, explorer, ONNX and service."""

import numpy as np
import pytest
from starlette.testclient import TestClient

import lowerbound as lb
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.http.access import access_for
from lowerbound.serving.portable.export import export
from lowerbound.serving.service.application import build_application
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import load_runs

QUICK_PRESETS = ("beta-tcvae", "factor-vae")
"""Presets that the fast tests train; `make test-slow` trains all."""

MODELS = {
    "vampprior": {"prior": "vamp", "prior_options": {"num_components": 20}},
    "flow prior": {"prior": "flow"},
    "mixture": {"prior": "mixture-of-normals"},
    "iaf": {"posterior": "iaf"},
    "low-rank": {"posterior": "low-rank-normal", "latent_dim": 3},
    "full": {"posterior": "full-normal"},
    "iaf with a flow prior": {"posterior": "iaf", "prior": "flow", "latent_dim": 3},
    "s-vae": {"posterior": "power-spherical", "latent_dim": 3},
    "codes": {"posterior": "gumbel-softmax", "latent_dim": 20},
    "simplex": {"posterior": "logistic-normal", "latent_dim": 4},
    "ladder": {"levels": [4, 2], "hierarchy": "ladder"},
    "residual levels": {"levels": [4, 3, 2], "hierarchy": "residual"},
    "two levels bottom-up": {"levels": [4, 2], "hierarchy": "bottom-up"},
    "autoencoder": {"posterior": "point-mass"},
}
QUICK_MODELS = ("vampprior", "s-vae")


def marked(names, quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def trained(path, model, objective=None):
    settings = {"model": {"hidden": [16], **model}, "objective": objective or {}, "training": {"min_steps": 0}}
    return lb.train("digits", recipe="dense", epochs=1, settings=settings, out=path)


def options_for(preset):
    """Smaller than by default, for speed."""
    options = {
        "factor-vae": {"penalty_options": {"factor": {"hidden": 16}}},
        "cyclical": {"rate_warm_up": 0.1},
    }.get(preset, {})
    return options | {"num_samples": 8 if OBJECTIVES[preset].num_samples > 8 else OBJECTIVES[preset].num_samples}


@pytest.mark.parametrize("preset", marked(OBJECTIVES, QUICK_PRESETS))
def test_every_objective_of_a_paper_trains_and_reports_its_terms(preset, tmp_path):
    is_deterministic = OBJECTIVES[preset].rate == "none"
    model = {"posterior": "point-mass"} if is_deterministic else {}
    run = trained(tmp_path / "run", model, {"preset": preset, **options_for(preset)})
    score = run.results.score("reconstruction-error" if is_deterministic else "elbo")
    assert np.isfinite(score.value)
    last = run.results.history[-1]["validation"]
    assert sorted(last["penalties"]) == sorted(OBJECTIVES[preset].penalties)
    assert last["elbo"] == pytest.approx(-last["rate"] - last["distortion"])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert all(f">{name}<" in page or name in page for name in OBJECTIVES[preset].penalties)


@pytest.mark.parametrize("name", marked(MODELS, QUICK_MODELS))
def test_every_kind_of_model_is_right_at_every_door(name, tmp_path):
    pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
    run = trained(tmp_path / "run", MODELS[name])
    images = lb.load_data(lb.DataConfig()).test.values[:4]

    again = lb.load(run.path)  # from its file
    np.testing.assert_array_equal(again.encode(images).centre, run.model.encode(images).centre)
    assert (run.path / "report.html").exists()

    exported = export(run.path)  # which compares the files with the model, and refuses to write what differs
    assert all(file.path.exists() for file in exported.files)

    page = write_offline(run.path, tmp_path / "explorer.html").read_text(encoding="utf-8")
    assert "explorer/main.js" in page

    served = build_application(load_runs([f"digits={run.path}"], "cpu"), Limits(), access_for("127.0.0.1"))
    with TestClient(served, base_url="http://127.0.0.1") as client:
        pixels = np.asarray(images, np.float32).reshape(4, 1, 8, 8) / 16
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 1, 8, 8], "data": pixels.ravel().tolist()}]}
        answer = client.post("/v2/models/digits.reconstruct/infer", json=body)
        assert answer.status_code == 200, answer.text
        outputs = {output["name"]: np.reshape(output["data"], output["shape"]) for output in answer.json()["outputs"]}
        expected = run.model.reconstruct(images).reshape(4, 1, 8, 8)
        np.testing.assert_allclose(outputs["reconstruction"], expected / 16, atol=1e-3)
