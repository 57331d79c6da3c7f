"""fit-prior writes a run like any other, beside the one that it comes from, or nothing at all."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import lowerbound as lb
from command_line import in_process, one_line
from digits_runs import SHORT, weights
from lowerbound.evaluation.comparison import compare
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import ConfigError, LowerboundError, UsageError
from lowerbound.foundation.run_identity import read_config
from lowerbound.runs import prior_fitting
from lowerbound.runs.prior_fitting import fit_prior
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import train

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (90, 4, 4), dtype=np.uint8)


def trained(folder, **model):
    np.save(folder / "images.npy", IMAGES)
    settings = SHORT | {"model": {"network": "dense", "hidden": [8], "latent_dim": 2} | model}
    if model.get("posterior") == "point-mass":
        settings |= {"objective": {"preset": "autoencoder"}}
    return train(str(folder / "images.npy"), out=folder / "run", settings=settings).path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run; not to be changed."""
    return trained(tmp_path_factory.mktemp("variational"))


@pytest.fixture(scope="module")
def fitted(run):
    """The run with a mixture fitted to it."""
    return fit_prior(run, components=4, out=run.parent / "fitted").path


def test_only_the_prior_is_another_and_the_rate_is_compared_pair_by_pair(run, fitted):
    old, new = weights(run), weights(fitted)
    assert {name for name in new if name.startswith("prior.")} == {
        "prior.logits", "prior.means", "prior.log_variances"
    }  # fmt: skip
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert lb.load(fitted).vae.config.prior_options == {"num_components": 4}
    compared = compare([("old", read_results(run)), ("new", read_results(fitted))])
    elbo, distortion, rate = (compared.score(name).rows[1].difference for name in ("elbo", "distortion", "rate"))
    assert distortion.value == pytest.approx(0, abs=1e-4)
    assert rate.value == pytest.approx(-elbo.value, abs=1e-4)
    assert rate.standard_error > 0


def test_the_new_run_states_where_it_comes_from_and_finds_its_data(run, fitted):
    section = read_config(fitted)["run"]
    assert section["fitted_from"] == read_config(run)["run"]["id"] != section["id"]
    assert section["fitted_from_path"] == str(run)
    report = (fitted / "report.html").read_text(encoding="utf-8")
    assert f"the rest is run {section['fitted_from']}" in report
    assert str(run) not in report
    assert reevaluate(fitted, {"evaluation": {"importance_draws": 20, "num_bounded": 2, "num_gaps": 2}}).path == fitted
    assert (fitted / "calibration.json").exists() == (run / "calibration.json").exists()
    assert read_results(fitted).context["fitted_from"] == section["fitted_from"]


def test_the_fitted_prior_is_nearer_to_the_codes_than_the_old_one(run, fitted):
    z = lb.load(run).vae.encode(torch.from_numpy(IMAGES) / 255).sample(torch.Generator(), 50).detach()
    densities = [lb.load(path).vae.prior.log_prob(z).mean() for path in (run, fitted)]
    assert densities[1] > densities[0]


def test_a_seed_decides_the_run(run, fitted, tmp_path):
    again = fit_prior(run, components=4, out=tmp_path / "again").path
    other = fit_prior(run, components=4, seed=1, out=tmp_path / "other").path
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(fitted).items())
    assert not torch.equal(weights(fitted)["prior.means"], weights(other)["prior.means"])
    assert read_config(again)["run"]["id"] == read_config(fitted)["run"]["id"] != read_config(other)["run"]["id"]


def test_a_plain_autoencoder_can_then_be_sampled(tmp_path, capsys):
    path = trained(tmp_path, posterior="point-mass")
    refusal = one_line(in_process(capsys, "sample", path, expect=2).err)
    assert f"To fit one: lowerbound fit-prior {path} --out DIR" in refusal
    fitted = fit_prior(path, components=3, out=tmp_path / "fitted")
    assert lb.load(fitted).generate(5).shape == (5, 4, 4)
    assert "elements_drawn" in fitted.results.arrays
    scores = [read_results(run).score("reconstruction-error") for run in (path, fitted.path)]
    assert scores[0] == scores[1]
    codes = lb.load(path).vae.encode(torch.from_numpy(IMAGES) / 255).mean
    z = lb.load(fitted).vae.prior.sample(torch.Generator(), 2000)
    assert_close(z.mean(0), codes.mean(0), rtol=0, atol=4 * float(codes.detach().std()) / len(codes) ** 0.5)


def test_an_autoencoder_is_not_trained_with_a_prior_that_it_does_not_use(tmp_path):
    with pytest.raises(ConfigError, match=r"training a plain autoencoder does not use model\.prior 'flow'"):
        trained(tmp_path, posterior="point-mass", prior="flow")
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_prior_that_uses_the_encoder_is_replaced(tmp_path):
    path = trained(tmp_path, prior="vamp", prior_options={"num_components": 3})
    fitted = fit_prior(path, components=2, out=tmp_path / "fitted")
    assert not any("pseudo" in name for name in weights(fitted.path))


def test_data_that_were_moved_are_found_again_by_the_new_run(run, tmp_path):
    shutil.copy(run.parent / "images.npy", tmp_path / "moved.npy")
    fitted = fit_prior(run, components=2, out=tmp_path / "fitted", data=str(tmp_path / "moved.npy"))
    assert read_config(fitted.path)["run"]["data_path"] == str(tmp_path / "moved.npy")


def test_packed_data_are_read(run, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    lb.pack(str(tmp_path / "images.npy"), tmp_path / "packed")
    path = train(str(tmp_path / "packed"), out=tmp_path / "run", settings=SHORT).path
    assert fit_prior(path, components=2, out=tmp_path / "fitted").results.score("elbo") is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "spline"), "unknown kind of prior 'spline'; accepted: autoregressive, flow, mixture-of-normals"),
        (("--kind", "autoregressive"), "a prior 'autoregressive' is fitted to discrete codes"),
        (("--components", 80), "80 components cannot be fitted to 7"),
        (("--data", "elsewhere.npy"), "elsewhere.npy does not exist"),
        (("--kind", "flow", "--device", "tpu"), "tpu"),
    ],
)
def test_a_refusal_is_one_line_and_writes_nothing(run, tmp_path, capsys, words, message):
    out = tmp_path / "out"
    printed = in_process(capsys, "fit-prior", run, "--out", out, "--quiet", *words, expect=None)
    assert message in one_line(printed.err)
    assert not out.exists()


def test_an_occupied_directory_a_damaged_run_and_no_run_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="is not empty"):
        fit_prior(run, out=run)
    with pytest.raises(UsageError, match="is not a run directory"):
        fit_prior(tmp_path, out=tmp_path / "out")
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(LowerboundError, match="damaged"):
        fit_prior(damaged, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["draw_codes", "evaluate_quick"])
def test_nothing_is_left_of_a_fit_that_is_interrupted(run, tmp_path, capsys, monkeypatch, stage):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(prior_fitting, stage, interrupted)
    printed = in_process(capsys, "fit-prior", run, "--out", tmp_path / "out", "--quiet", expect=130)
    assert one_line(printed.err) == "lowerbound: interrupted."
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_change_of_the_rate(run, tmp_path, capsys):
    printed = in_process(capsys, "fit-prior", run, "--components", 3, "--out", tmp_path / "out", "--json")
    assert "paired by test example" in printed.err
    assert json.loads(printed.out)["reports"] == [str(tmp_path / "out" / "report.html")]
    assert "fit-prior" in read_config(tmp_path / "out")["run"]["command"]
