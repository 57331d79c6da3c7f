"""Training, evaluation and every task of models with latents on the sphere, on the simplex and of one-hot codes."""

import csv

import numpy as np
import pytest
from PIL import Image

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.reporting.plots import plots_for

LATENTS = {"power-spherical": 3, "logistic-normal": 3, "gumbel-softmax": 10}
FIGURES = {
    "power-spherical": {"latent_sphere", "manifold_15", "traversals"},
    "logistic-normal": {"latent_triangle", "manifold_15", "mixtures"},
    "gumbel-softmax": {"category_shares", "code_means"},
}
NOT_REAL = ("log-evidence by quadrature", "contour of the prior")

every_posterior = pytest.mark.parametrize("posterior", LATENTS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of one epoch for each posterior, evaluated with few draws."""
    made = {}
    for posterior, num in LATENTS.items():
        made[posterior] = lb.train(
            "digits",
            settings={"model": {"posterior": posterior, "latent_dim": num, "hidden": [16]}},
            epochs=1,
            out=tmp_path_factory.mktemp("spaces") / posterior,
        )
    return made


@pytest.fixture(scope="module")
def test_images():
    return lb.load_data(lb.DataConfig()).test.values[:4]


@every_posterior
def test_the_report_has_the_figures_of_the_space_and_says_what_needs_real_latents(runs, posterior):
    run = runs[posterior]
    figures = set(plots_for(run.results))
    assert figures >= FIGURES[posterior]
    assert not figures & {"latent_space", "latent_pair", "latent_line"}
    for name in NOT_REAL:
        assert run.results.left_out[name].startswith("needs real latents, but those of posterior")
    assert not run.results.failures


@every_posterior
def test_the_full_evaluation_measures_bounds_and_information_and_nothing_fails(runs, posterior):
    results = lb.evaluate(runs[posterior].model, config=lb.EvaluationConfig(importance_draws=50, num_bounded=20))
    assert not results.failures
    elbo, bound = results.score("elbo"), results.score("importance-bound")
    assert np.isfinite([elbo.value, bound.value, results.score("mutual-information").value]).all()
    assert results.score("active-units") is None
    assert results.left_out["inference gaps"].startswith("needs real latents")
    with pytest.raises(ConfigError, match="annealing needs real latents"):
        lb.evaluate(runs[posterior].model, config=lb.EvaluationConfig(num_annealed=2))


@every_posterior
def test_codes_of_examples_are_in_the_space_and_others_are_refused(runs, posterior, test_images):
    model = runs[posterior].model
    posteriors = model.encode(test_images)
    model.vae.check_codes(posteriors.centre)
    assert model.decode(posteriors.centre).mean.shape == (4, 8, 8, 1)
    np.testing.assert_allclose(model.reconstruct(test_images), model.decode(posteriors.centre).mean, rtol=1e-5)
    assert model.score(test_images).shape == (4,)
    assert model.generate(2).shape == (2, 8, 8, 1)
    with pytest.raises(DataError, match="code 0"):
        model.decode(np.full((1, LATENTS[posterior]), 0.7, np.float32))


@every_posterior
def test_the_commands_write_codes_and_the_path_between_two_images(runs, posterior, test_images, tmp_path, capsys):
    run = runs[posterior].path
    in_process(capsys, "encode", run, "--out", tmp_path / "codes.csv")
    with (tmp_path / "codes.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = {"power-spherical": "mean_direction", "logistic-normal": "centre", "gumbel-softmax": "code"}[posterior]
    codes = np.array([[float(row[f"{first}_{k + 1}"]) for k in range(LATENTS[posterior])] for row in rows])
    np.testing.assert_allclose((codes**2).sum(1) if posterior == "power-spherical" else codes.sum(1), 1, atol=1e-5)
    for number, image in enumerate(test_images[:2]):
        Image.fromarray((np.asarray(image).reshape(8, 8) * 15).astype(np.uint8)).save(tmp_path / f"{number}.png")
    in_process(capsys, "interpolate", run, tmp_path / "0.png", tmp_path / "1.png", "--out", tmp_path / "path.png")
    assert (tmp_path / "path.png").is_file()


def test_a_prior_of_another_space_is_refused_before_anything_is_written(tmp_path, capsys):
    refused = in_process(
        capsys,
        "train",
        "digits",
        "--set",
        "model.posterior=power-spherical",
        "--set",
        "model.prior=standard-normal",
        "--out",
        tmp_path / "run",
        expect=2,
    )
    assert "set model.prior=uniform-on-sphere, or leave model.prior out" in one_line(refused.err)
    assert not (tmp_path / "run").exists()
