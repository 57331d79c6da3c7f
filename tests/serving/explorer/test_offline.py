"""The page in one file, opened from disk in a browser that has no network, beside PyTorch."""

import re
import shutil
import tomllib
from base64 import b64decode

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from explorer_runs import trained as explored
from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.foundation.run_identity import sealed
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text_files import write_toml
from lowerbound.objectives.terms import estimate_terms
from lowerbound.runs.run import train
from lowerbound.runs.run_log import read_log
from lowerbound.serving.explorer import offline_payload
from lowerbound.serving.explorer.offline import page_of, write_offline
from lowerbound.serving.explorer.prior_geometry import prior_contours
from lowerbound.training.checkpoint import load_model
from pages_from_disk import ENCODE, SHORT, Opened, array, blocks_in, png

pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shutil.copytree(explored(tmp_path_factory, "digits"), tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def file(run):
    path = write_offline(run, run.parent / "page.html")
    print(f"{path.stat().st_size / 1e6:.1f} MB")
    return path


@pytest.fixture(scope="module")
def context(browser):
    """Pages in which every connection fails."""
    return browser.new_context(offline=True)


@pytest.fixture(scope="module")
def opened(context, file):
    return Opened(context, file)


@pytest.fixture(scope="module")
def model(run):
    return load_model(run).requires_grad_(False)


@pytest.fixture(scope="module")
def splits():
    return load(DataConfig(source="digits"))


def test_it_opens_from_disk_without_a_network_an_error_or_a_request(opened):
    opened.page.wait_for_timeout(500)  # for what comes late
    assert opened("source.isOffline") is True
    assert opened("(await source.info(id)).num_codes") == 1797
    assert opened.complaints == []
    assert {url.split(":")[0] for url in opened.requests} <= {"file", "data", "blob"}
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1


def test_its_policy_forbids_every_connection(opened):
    assert opened("await fetch('http://127.0.0.1:9/').catch((error) => error.name)") == "TypeError"
    assert any("Content Security Policy" in complaint for complaint in opened.complaints)
    opened.complaints.clear()


@torch.no_grad()
def test_what_it_decodes_is_what_pytorch_decodes(opened, model):
    z = 1.5 * torch.randn(150, 2, generator=generator(0, "latents"))  # more than are decoded at once
    shown = array(opened("plain(await source.decode(id, Float32Array.from(given)))", z.flatten().tolist()))
    expected = model.decode(z).mean[:, 0].numpy()
    assert shown.shape == (150, 8, 8, 3)
    assert np.abs(shown - 255 * expected[..., None]).max() < 1


@torch.no_grad()
def test_the_engine_gives_the_decoders_means_to_five_digits(opened, model):
    z = torch.tensor([[0.0, 0.0], [-1.2, 0.7], [3.0, -3.0]])
    script = """async (z) => {
      const { block } = await import("explorer/offline_blocks.js");
      const { createEngine } = await import("explorer/engine.js");
      const engine = await createEngine(...(await Promise.all(["decoder", "wasm", "weights"].map(block))));
      const outputs = await engine.run({ z: { shape: [3, 2], data: Float32Array.from(z) } });
      return { shape: outputs.mean.shape, data: [...outputs.mean.data] };
    }"""
    means = array(opened.page.evaluate(script, z.flatten().tolist()))
    assert_close(torch.from_numpy(means).float(), model.decode(z).mean, atol=1e-5, rtol=0)


def test_a_seed_gives_the_same_samples_and_another_seed_others(opened):
    z, again, other = (array(opened("plain((await source.sample(id, 256, 1, given)).z)", seed)) for seed in (3, 3, 4))
    assert z.shape == (256, 2)
    assert (z == again).all()
    assert np.abs(z - other).min(0).max() > 0
    assert abs(z.mean()) < 4 / 512**0.5
    assert abs(z.std() - 1) < 4 / 1024**0.5


def test_the_temperature_scales_samples_and_pictures_are_those_of_their_codes(opened):
    sample = opened(
        """await source.sample(id, 3, 0.5, 3).then(async ({ z, images }) =>
          ({ z: plain(z), images: plain(images), decoded: plain(await source.decode(id, z.data)) }))"""
    )
    warm = array(opened("plain((await source.sample(id, 3, 1, 3)).z)"))
    np.testing.assert_allclose(array(sample["z"]), 0.5 * warm, rtol=1e-6)
    assert (array(sample["images"]) == array(sample["decoded"])).all()


@torch.no_grad()
def test_codes_are_the_posteriors_of_all_splits(opened, model, splits):
    codes = opened(
        """await source.codes(id).then(({ mean, logVariance, labels, splits }) =>
          [mean, logVariance, labels, splits].map((one) => [...one]))"""
    )
    mean, log_variance, labels, split = map(np.array, codes)
    parts = [splits.train, splits.validation, splits.test]
    posterior = model.encode(torch.cat([scaled(part) for part in parts]))
    np.testing.assert_allclose(mean.reshape(-1, 2), posterior.mean, atol=1e-5)
    np.testing.assert_allclose(log_variance.reshape(-1, 2), posterior.log_variance, atol=1e-4)
    assert (labels == np.concatenate([part.labels for part in parts])).all()
    assert np.bincount(split).tolist() == [len(part) for part in parts]


def test_a_point_says_its_example_and_its_bound(opened, model, splits):
    points = opened("await Promise.all(given.map((index) => source.point(id, index)))", [0, 1257 + 180 + 7])
    assert [(point["split"], point["id_in_split"]) for point in points] == [("train", 0), ("test", 7)]
    assert points[1]["label"] == splits.test.labels[7]
    assert points[1]["label_name"] == str(splits.test.labels[7])
    terms = expected_terms(model, splits.test.subset(np.array([7])), num_draws=1000, seed=1)
    assert points[1]["rate"] == pytest.approx(float(terms.rate), abs=1e-4)
    assert points[1]["elbo"] == pytest.approx(-points[1]["rate"] - points[1]["distortion"], abs=1e-3)
    assert abs(points[1]["elbo"] - float(terms.elbo)) < 5 * points[1]["elbo_standard_error"]
    assert points[1]["num_draws"] == 16


def test_examples_are_shown_as_they_are(opened, splits):
    shown = array(opened("plain(await source.images(id, [0, 1796]))"))
    expected = np.concatenate([splits.train.values[:1], splits.test.values[-1:]]) / 16 * 255
    assert np.abs(shown - expected).max() <= 0.5


def test_an_image_is_encoded_and_scored_as_in_pytorch(opened, model, splits):
    pixels = np.rint(splits.test.values[3, :, :, 0] / 16 * 255).astype(np.uint8)
    found = opened(ENCODE, png(pixels))
    x = scaled(splits.test.subset(np.array([3])))  # bytes come back to the levels that the run stores
    posterior = model.encode(x)
    assert_close(torch.tensor(found["mean"]), posterior.mean[0], atol=1e-4, rtol=1e-4)
    assert_close(torch.tensor(found["log_variance"]), posterior.log_variance[0], atol=1e-4, rtol=1e-4)
    samples = model.sample_posterior(x, generator(0, "draws"), 1000)
    assert found["rate"] == pytest.approx(float(samples.kl), abs=1e-3)
    assert sum(found["rate_per_dimension"]) == pytest.approx(found["rate"])
    assert abs(found["distortion"] + float(samples.log_likelihood.mean())) < 5 * found["elbo_standard_error"]
    assert found["elbo"] == pytest.approx(-found["rate"] - found["distortion"])
    assert found["convention"] == "grey"
    assert found["notes"] == []
    assert b64decode(found["seen"]["data"]) == np.repeat(pixels, 3).tobytes()


def test_an_examples_own_picture_is_its_nearest_neighbour(opened, splits):
    pixels = np.rint(splits.test.values[3, :, :, 0] / 16 * 255).astype(np.uint8)
    neighbours = opened(ENCODE, png(pixels))["neighbours"]
    index = 1257 + 180 + 3
    for kind, tolerance in (("pixels", 0), ("codes", 0.02)):  # codes: levels of 8 bits are not those of 16
        assert neighbours[kind][0]["index"] == index
        assert neighbours[kind][0]["distance"] <= tolerance
        distances = [one["distance"] for one in neighbours[kind]]
        assert len(distances) == 8
        assert distances == sorted(distances)
    z = opened("[...(await source.codes(id)).mean].slice(2 * given, 2 * given + 2)", index)
    assert opened("await source.neighbours(id, given)", z)["codes"][0] == neighbours["codes"][0] | {"distance": 0}


def test_a_coloured_file_of_another_size_is_cropped_made_grey_and_laid_on_white(opened):
    picture = np.zeros((40, 80, 4), np.uint8)
    picture[:, 20:60] = (200, 100, 50, 255)  # the middle; what sticks out at both sides is cut
    picture[20:] = 0  # transparent
    found = opened(ENCODE, png(picture))
    seen = np.frombuffer(b64decode(found["seen"]["data"]), np.uint8).reshape(8, 8, 3)
    grey = np.asarray(Image.new("RGB", (1, 1), (200, 100, 50)).convert("L"))[0, 0]
    assert (seen[:3] == grey).all()
    assert (seen[5:] == 255).all()
    assert "resized by this browser" in found["notes"][0]


def test_a_file_that_is_no_image_is_refused_in_one_line(opened):
    said = opened("await source.encode(id, new Blob(['none'])).catch((error) => error.message)")
    assert said == "This browser cannot read the file; it reads PNG, JPEG, WebP and BMP."


def test_the_whole_history_is_carried(opened, run):
    found = opened("await source.metrics(id, 0)")
    assert found["records"] == read_log(run)
    assert found["state"] == "finished"
    assert opened("(await source.metrics(id, given)).records", found["after"]) == []


def test_without_its_data_a_run_shows_the_codes_of_its_results(run, file, tmp_path, context, monkeypatch):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    config = (moved / "config.toml").read_text()
    changed = re.sub(r'data_checksum = "\w+"', f'data_checksum = "{"0" * 64}"', config)
    write_toml(moved / "config.toml", sealed(tomllib.loads(changed)))
    programs = {name: block for name, block in blocks_in(file).items() if name in ("decoder", "vae", "weights")}
    monkeypatch.setattr(offline_payload, "models_of", lambda loaded: {})  # the same as before, and slow to make
    (tmp_path / "page.html").write_text(page_of(offline_payload.payload_of(moved) | programs))
    page = Opened(context, tmp_path / "page.html")
    info = page("await source.info(id)")
    assert info["splits"] == [{"name": "test", "count": 360}]
    assert "are unavailable" in info["notes"][0]
    assert "no images" in info["notes"][1]
    said = page("await source.images(id, [0]).catch((error) => error.message)")
    assert said.startswith("This page contains latents, but no examples")
    point = page("await source.point(id, 5)")
    assert point["log_variance"] is None
    assert point["elbo"] is not None
    assert len(page("await source.decode(id, new Float32Array(2)).then(({ data }) => [...data])")) == 8 * 8 * 3
    assert page.complaints == []


def test_a_table_is_decoded_to_the_best_guess_of_each_cell(tmp_path, context):
    stream = np.random.Generator(np.random.PCG64(0))
    rows = [f"{a:.3f},{'red' if a + b > 0 else 'blue'},{b:.3f}" for a, b in stream.normal(size=(120, 2))]
    (tmp_path / "cells.csv").write_text("\n".join(["length,colour,width", *rows, ""]))
    settings = SHORT | {"model": {"hidden": [16], "likelihood": "table"}}
    path = train(str(tmp_path / "cells.csv"), recipe="dense", out=tmp_path / "run", settings=settings).path
    page = Opened(context, write_offline(path, tmp_path / "page.html"))
    z = torch.randn(20, 2, generator=generator(0, "latents"))
    values = array(page("plain(await source.decode(id, Float32Array.from(given)))", z.flatten().tolist()))
    model = load_model(path).requires_grad_(False)
    assert_close(torch.from_numpy(values).float(), best_guess(model, model.decode(z)), atol=1e-5, rtol=1e-5)
    info = page("await source.info(id)")
    assert [column["name"] for column in info["columns"]] == ["length", "colour", "width"]
    assert info["can"]["encode"] is False
    assert array(page("plain(await source.images(id, [0]))")).shape == (1, 3)
    assert page.complaints == []


def test_a_plain_autoencoder_has_codes_and_no_bound(tmp_path, tmp_path_factory, context):
    path = explored(tmp_path_factory, "plain")
    page = Opened(context, write_offline(path, tmp_path / "page.html"))
    assert page("(await source.codes(id)).logVariance") is None
    point = page("await source.point(id, 0)")
    assert (point["elbo"], point["rate"]) == (None, None)
    model, splits = load_model(path).requires_grad_(False), load(DataConfig(source="digits"))
    x = scaled(splits.train.subset(np.array([0])))
    error = -float(model.decode(model.encode(x).mean).log_prob(x))
    assert point["reconstruction_error"] == pytest.approx(error, rel=1e-4)
    found = page(ENCODE, png(np.zeros((8, 8), np.uint8)))
    black = torch.zeros(1, 1, 8, 8)
    assert found["mean"] == pytest.approx(model.encode(black).mean[0].tolist(), abs=1e-4)
    assert found["reconstruction_error"] == pytest.approx(
        -float(model.decode(model.encode(black).mean).log_prob(black)), rel=1e-4
    )
    assert found["elbo"] is None
    said = page("await source.sample(id, 1, 1, 0).catch((error) => error.message)")
    assert said == "A deterministic autoencoder has no prior to sample from."
    assert page.complaints == []


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """A run with a mixture prior and posteriors of full covariance, and its page."""
    run = explored(tmp_path_factory, "mixture")
    return load_model(run).requires_grad_(False), write_offline(run, tmp_path_factory.mktemp("page") / "page.html")


def test_the_page_asks_the_runs_own_prior_for_densities_contours_and_samples(mixture, context):
    model, path = mixture
    page = Opened(context, path)
    z = torch.randn(5, 2, generator=generator(0, "latents"))
    densities = page("[...(await source.decode(id, Float32Array.from(given))).logPrior]", z.flatten().tolist())
    assert densities == pytest.approx(model.prior.log_prob(z).tolist(), abs=1e-4)
    expected = prior_contours(model, (0, 1))
    assert page("await source.priorContours(id, [0, 1])") == expected
    turned = page("await source.priorContours(id, [1, 0])")["levels"][0]["lines"][0]
    assert turned == [[y, x] for x, y in expected["levels"][0]["lines"][0]]
    samples = array(page("plain((await source.sample(id, 4000, 1, 3)).z)"))
    exact = model.prior()
    error = np.sqrt(np.diag(exact.covariance) / len(samples))
    assert (np.abs(samples.mean(0) - exact.mean.numpy()) < 4 * error).all()
    np.testing.assert_allclose(np.cov(samples.T), exact.covariance, atol=0.15 * float(exact.variance.max()))
    still = array(page("plain((await source.sample(id, 50, 0, 3)).z)"))
    means = exact.components.mean.numpy()
    assert np.abs(still[:, None] - means).max(-1).min(1).max() < 1e-4  # at temperature 0 every draw is a mean
    assert page.complaints == []


def test_an_image_in_the_page_has_the_full_covariance_and_the_rate_of_the_model(mixture, context):
    model, path = mixture
    page = Opened(context, path)
    image = np.random.default_rng(0).integers(0, 17, (8, 8)).astype(np.uint8) * 15
    found = page(ENCODE, png(image))
    x = torch.from_numpy(np.rint(image / 255 * 16).astype(np.float32) / 16)[None, None]
    assert_close(torch.tensor(found["covariance"]), model.encode(x).covariance[0], atol=1e-4, rtol=1e-3)
    assert found["rate_per_dimension"] is None
    terms = estimate_terms(model, x, generator(0, "draws"), 1000)
    assert abs(found["elbo"] - float(terms.elbo)) < 5 * found["elbo_standard_error"]
    assert abs(found["rate"] - float(terms.rate)) < 5 * float(terms.rate_of_draw.std()) / 64**0.5
    assert page.complaints == []
