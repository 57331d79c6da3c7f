"""Conditions and levels in pages that decode themselves: the file without a server, and the page of a served run."""

import numpy as np
import pooch
import pytest
import torch

import lowerbound as lb
from browsers import served
from explorer_pages import at, pages, pixels_of
from lowerbound.data.batches import context_of_all, scaled
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.seeding import generator
from lowerbound.networks.onnx_network import session_of
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.loaded_run import load_run
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.explorer.page_decoder import decoder_program
from pages_from_disk import ENCODE, Opened, array, png

pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")

SMALL = {"model": {"hidden": [16]}, "training": {"min_steps": 0}, "evaluation": {"after_training": False}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = SMALL | {"model": SMALL["model"] | {"condition_on": ["label"], "prior": "conditional-normal"}}
    folder = tmp_path_factory.mktemp("given") / "run"
    return lb.train("digits", recipe="dense", epochs=2, latent_dim=2, settings=settings, out=folder)


@pytest.fixture(scope="module")
def opened(run, browser):
    path = write_offline(run.path, run.path.parent / "page.html")
    return Opened(browser.new_context(offline=True), path)


def given(run, *labels):
    return run.model.vae.given(torch.tensor(labels, dtype=torch.float32)[:, None])


@torch.no_grad()
def test_a_page_decodes_as_the_label_that_is_chosen_or_as_each(opened, run):
    z = torch.randn(20, 2, generator=generator(0, "latents"))  # more than are decoded at once
    for label in (0, 7):
        opened("source.give(id, { label: String(given) })", label)
        shown = array(opened("plain(await source.decode(id, Float32Array.from(given)))", z.flatten().tolist()))
        model = given(run, *[label] * 20)
        assert np.abs(shown - 255 * model.decode(z).mean[:, 0].numpy()[..., None]).max() < 1
        densities = opened("[...(await source.decode(id, Float32Array.from(given))).logPrior]", z.flatten().tolist())
        assert densities == pytest.approx(model.prior.log_prob(z).tolist(), abs=1e-4)
    each = array(opened('plain(await source.decodeWith(id, [0.5, -1], "label", ["3", "8"]))'))
    expected = given(run, 3, 8).decode(torch.tensor([[0.5, -1.0]] * 2)).mean[:, 0].numpy()
    assert np.abs(each - 255 * expected[..., None]).max() < 1
    assert opened.complaints == []


@torch.no_grad()
def test_samples_and_contours_are_those_of_the_label(opened, run):
    for label in (1, 6):
        opened("source.give(id, { label: String(given) })", label)
        prior = given(run, label).prior()
        samples = array(opened("plain((await source.sample(id, 4000, 1, 3)).z)"))
        error = prior.variance[0].sqrt().numpy() / len(samples) ** 0.5
        assert (np.abs(samples.mean(0) - prior.mean[0].numpy()) < 4 * error).all()
        lines = opened("(await source.priorContours(id, [0, 1])).levels[0].lines[0]")
        distances = (torch.tensor(lines) - prior.mean[0]) / prior.variance[0].sqrt()
        assert torch.allclose(distances.norm(dim=1), torch.tensor(1.0), atol=0.02)


def test_a_point_has_its_own_label_and_its_bound_given_that(opened, run):
    test = run.splits().test
    point = opened("await source.point(id, 1257 + 180 + 7)")
    assert point["given"] == {"label": str(test.labels[7])}
    terms = expected_terms(run.model.vae, test.subset(np.array([7])), num_draws=1000, seed=1)
    assert abs(point["elbo"] - float(terms.elbo)) < 5 * point["elbo_standard_error"]


@torch.no_grad()
def test_an_image_is_encoded_with_the_label_that_is_chosen(opened, run):
    test = run.splits().test.subset(np.array([3]))
    pixels = np.rint(test.values[0, :, :, 0] / 16 * 255).astype(np.uint8)
    for label in (int(context_of_all(test)[0, 0]), 9):
        opened("source.give(id, { label: String(given) })", label)
        found = opened(ENCODE, png(pixels))
        posterior = given(run, label).encode(scaled(test))
        assert found["mean"] == pytest.approx(posterior.mean[0].tolist(), abs=1e-4)
        assert found["log_variance"] == pytest.approx(posterior.log_variance[0].tolist(), abs=1e-4)


@pytest.fixture
def program(run, tmp_path, monkeypatch):
    """The decoder for the page of a server, in a cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pooch.os_cache("lowerbound").is_relative_to(tmp_path)
    return decoder_program(load_run(run.path, "cpu"))


@torch.no_grad()
def test_the_program_takes_the_conditions_and_a_served_page_needs_no_request_for_them(run, program, browser):
    session = session_of(program)
    z = np.array([[0.3, -1.2], [2.0, 0.1]], np.float32)
    mean, log_prior = session.run(None, {"z": z, "context": np.array([[4.0], [5.0]], np.float32)})
    model = given(run, 4, 5)
    np.testing.assert_allclose(mean, model.decode(torch.from_numpy(z)).mean, atol=1e-5)
    np.testing.assert_allclose(log_prior, model.prior.log_prob(torch.from_numpy(z)), rtol=1e-4)
    with served(application(run.path, device="cpu")) as url, pages(browser, url) as open_page:
        page = open_page("run")
        while not page.evaluate("performance.getEntriesByName('decoder-in-page').length"):
            page.wait_for_timeout(20)
        page.traffic.settle()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_label("Decode as label").select_option("7")
        page.mouse.move(*at(page, 0.6, 0.55))
        page.wait_for_timeout(400)
        assert not [address for address in asked if "/decode" in address]
        z = torch.tensor([list(page.evaluate("Array.from(explorer.views[0].cursor.z)"))])
        drawn = pixels_of(page, ".drawn canvas")
    expected = 255 * given(run, 7).decode(z).mean[0, 0].clamp(0, 1).numpy().reshape(-1)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_an_upper_level_is_decoded_with_the_lower_ones_at_their_means(tmp_path, browser):
    settings = SMALL | {"model": SMALL["model"] | {"levels": [2, 2], "hierarchy": "ladder", "level_hidden": [8]}}
    vae = lb.train(
        "digits", recipe="dense", epochs=1, settings=settings, out=tmp_path / "run"
    ).model.vae.requires_grad_(False)
    page = Opened(browser.new_context(offline=True), write_offline(tmp_path / "run", tmp_path / "page.html"))
    z = torch.randn(20, 4, generator=generator(0, "latents"))
    for level in (2, 1):
        page("source.setLevel(id, given)", level)
        shown = array(page("plain(await source.decode(id, Float32Array.from(given)))", z.flatten().tolist()))
        completed = vae.prior().completed(z, level - 1)
        assert np.abs(shown - 255 * vae.decode(completed).mean[:, 0].numpy()[..., None]).max() < 1
        densities = page("[...(await source.decode(id, Float32Array.from(given))).logPrior]", z.flatten().tolist())
        assert densities == pytest.approx(vae.prior.log_prob(completed).tolist(), abs=1e-3)
    assert page.complaints == []
