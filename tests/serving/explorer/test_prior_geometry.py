"""What the page draws of a prior is held against scipy and against draws; what a prior lacks is named."""

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline
from scipy.stats import norm
from starlette.testclient import TestClient

from explorer_runs import copied, info, trained
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.priors import StandardNormalPrior
from lowerbound.runs.trained_model import load
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.prior_geometry import prior_contours, prior_description, sampling_data


def model(prior="standard-normal", latent_dim=3, **config):
    built = build_model(
        ModelConfig(hidden=(4,), latent_dim=latent_dim, prior=prior, **config), (1, 4, 4), generator(0, "weights")
    )
    return built.eval()


@pytest.fixture
def mixture():
    """Three components that differ in weight, place and width."""
    built = model("mixture-of-normals", prior_options={"num_components": 3})
    with torch.no_grad():
        built.prior.logits.copy_(torch.tensor([0.0, 1.0, -0.5]))
        built.prior.means.copy_(torch.tensor([[-3.0, 0.0, 1.0], [1.0, 2.0, 0.0], [2.0, -4.0, -1.0]]))
        built.prior.log_variances.copy_(torch.tensor([[0.0, -1.0, 0.0], [0.5, 0.0, 0.0], [-1.0, 1.0, 0.0]]))
    return built


def test_the_contours_of_a_standard_normal_are_circles_of_1_2_and_3_standard_deviations():
    levels = prior_contours(model(), (2, 0))["levels"]
    assert [level["label"] for level in levels] == ["1σ", "2σ", "3σ"]
    for radius, level in zip((1, 2, 3), levels, strict=True):
        (line,) = level["lines"]
        np.testing.assert_allclose(np.linalg.norm(line, axis=1), radius, atol=2e-3)


def test_the_contours_of_a_mixture_enclose_the_share_of_draws_that_they_state(mixture):
    drawn = mixture.prior.sample(generator(0, "draws"), 20_000).detach().numpy()
    for axes in ((0, 1), (1, 2), (1, 0)):
        levels = prior_contours(mixture, axes)["levels"]
        assert [level["label"] for level in levels] == ["50 %", "90 %", "95 %"]
        for share, level in zip((0.5, 0.9, 0.95), levels, strict=True):
            # By the even-odd rule, so that several lines, one around another too, count as one region.
            inside = sum(Outline(line).contains_points(drawn[:, axes]).astype(int) for line in level["lines"]) % 2
            assert inside.mean() == pytest.approx(share, abs=0.012)


def test_quantiles_and_ranges_are_those_of_the_prior(mixture):
    probabilities = (np.arange(11) + 0.5) / 11
    normal = prior_description(model())
    np.testing.assert_allclose(normal["quantiles"], np.tile(norm.ppf(probabilities), (3, 1)).T, atol=1e-4)
    np.testing.assert_allclose(normal["ranges"], [[-4, 4]] * 3, atol=1e-3)
    weights, means, deviations = (np.array(sampling_data(mixture)[key]) for key in ("weights", "means", "deviations"))
    found = np.array(prior_description(mixture)["quantiles"])
    below = (weights * norm.cdf((found[..., None] - means.T) / deviations.T)).sum(-1)
    np.testing.assert_allclose(below, np.tile(probabilities, (3, 1)).T, atol=1e-4)


class Skewed(StandardNormalPrior):
    """A prior that has draws and a density, and nothing else."""

    def forward(self):
        return Unsliced(self.zeros, self.zeros)

    def sample(self, generator, num, temperature=1.0):
        return super(StandardNormalPrior, self).sample(generator, num, temperature)

    def quantiles(self, probabilities):
        return None


class Unsliced(DiagonalNormal):
    def marginal(self, elements):
        return super(DiagonalNormal, self).marginal(elements)


def test_what_a_prior_lacks_is_named():
    built = model()
    built.prior = Skewed(3)
    about = prior_description(built)
    assert about["quantiles"] is None and about["has_temperature"] is False
    assert all(-6 < low < -2 < 2 < high < 6 for low, high in about["ranges"])
    found = prior_contours(built, (0, 1))
    assert found == {"levels": [], "problem": "no contours of the prior: Unsliced has no marginals."}
    assert prior_description(model(posterior="point-mass")) is None
    assert "no prior" in prior_contours(model(posterior="point-mass"), (0, 1))["problem"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "mixture")


def test_the_explorer_answers_for_the_runs_own_prior(run, tmp_path):
    copied(run, tmp_path / "mixture")
    with TestClient(application(tmp_path, device="cpu")) as client:
        about = info(client, "mixture")["prior_geometry"]
        own = load(run).vae
        assert about == prior_description(own)
        contours = client.get("/api/runs/mixture/prior?axes=1,0").json()
        assert contours == prior_contours(own, (1, 0))
        point = client.get("/api/runs/mixture/points/0").json()
        assert point["rate_per_dimension"] is None
        assert point["elbo"] == pytest.approx(-(point["rate"] + point["distortion"]))
        for axes in ("", "0", "0,0", "0,2", "0,1,1", "x,1"):
            answer = client.get(f"/api/runs/mixture/prior?axes={axes}")
            assert answer.status_code == 400
            assert "accepted: " in answer.json()["error"]
