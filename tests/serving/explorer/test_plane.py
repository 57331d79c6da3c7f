"""The plane and its panels in a browser: colours, names, selection, projections, noise, drawings, comparison."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load as read_tensors

from browsers import until
from explorer_pages import at, draw, lasso, pixels_of, plane
from explorer_runs import trained
from lowerbound.training.checkpoint import load_model

VIEW = "window.explorer.views[0]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("planes")
    for name, kind in {"first": "digits", "second": "digits", "three": "dynamic", "rows": "table"}.items():
        shutil.copytree(trained(tmp_path_factory, kind), root / name)
    return root


def codes(page):
    dim = page.evaluate(f"{VIEW}.info.latent_dim")
    return np.array(page.evaluate(f"[...{VIEW}.codes.mean]")).reshape(-1, dim)


def wait_for_all_codes(page):
    """Before that, no plane of all codes can be computed."""
    until(page, f"{VIEW}.isReady", seconds=30)


def test_codes_of_the_results_are_shown_while_the_others_are_encoded(browser, url, folder):
    page = browser.new_page()
    # Nothing answers but what needs no data.
    for path in ("/codes?after=0", "/api/runs/first"):
        page.route(lambda address, path=path: address.endswith(path), lambda route: None)
    page.goto(f"{url}/?run=first")
    page.wait_for_selector(".legend button")
    stored = read_tensors((folder / "first" / "results.safetensors").read_bytes())["latent_mean"]
    np.testing.assert_allclose(codes(page), stored, atol=1e-6)
    assert "Reading the data" in page.locator(".stage-message").inner_text()
    page.close()


def test_names_are_written_at_the_middle_of_their_examples(opened):
    page = opened("first")
    names = page.evaluate(f"{VIEW}.stage.names")
    labels = np.array(page.evaluate(f"[...{VIEW}.codes.labels]"))
    assert sorted(one["name"] for one in names) == [str(label) for label in range(10)]
    for one in names:
        median = np.median(codes(page)[labels == int(one["name"])], axis=0)
        np.testing.assert_allclose([one["x"], one["y"]], median, atol=0.05)
    # A fitted view leaves room for the legend.
    rightmost = page.evaluate(f"Math.max(...{VIEW}.stage.coordinates[0])")
    right = page.evaluate(f"{VIEW}.stage.scatter.toPixels({rightmost}, 0)[0]")
    assert right <= plane(page).bounding_box()["width"] - page.locator(".legend").bounding_box()["width"]
    page.get_by_role("button", name="Names").click()
    assert page.evaluate(f"{VIEW}.stage.names") == []


def test_examples_are_coloured_by_a_score_with_a_scale(opened, folder):
    page = opened("first")
    page.get_by_label("Colour by").select_option("quantity elbo")
    page.traffic.settle()
    elbo = read_tensors((folder / "first" / "results.safetensors").read_bytes())["elbo_per_image"]
    categories = np.array(page.evaluate(f"[...{VIEW}.categories]"))
    assert (categories[: -len(elbo)] == 254).all()  # unknown
    rank = np.corrcoef(categories[-len(elbo) :], elbo)[0, 1]
    assert rank > 0.95
    assert "ELBO, nats" in page.locator(".legend summary").inner_text()
    low, high = page.locator(".scale-ends span").all_inner_texts()
    assert float(low.strip("≤ ").replace("−", "-")) == pytest.approx(np.quantile(elbo, 0.02), abs=0.2)
    assert float(high.strip("≥ ").replace("−", "-")) == pytest.approx(np.quantile(elbo, 0.98), abs=0.2)


def test_examples_are_coloured_by_a_column_with_levels(opened):
    page = opened("rows")
    page.get_by_label("Colour by").select_option(label="kind")
    page.traffic.settle()
    assert page.locator(".legend-list").first.get_by_role("button").all_inner_texts()[:3] == ["a\n14", "b\n13", "c\n13"]


def test_a_lasso_keeps_its_outline_and_dims_the_rest(opened):
    page = opened("first")
    lasso(page, ((0.05, 0.05), (0.55, 0.05), (0.55, 0.95), (0.05, 0.95)))
    chosen = page.evaluate(f"{VIEW}.selection.indices")
    categories = np.array(page.evaluate(f"[...{VIEW}.categories]"))
    assert 0 < len(chosen) < len(categories)
    assert (np.delete(categories, chosen) == 255).all() and (categories[chosen] < 10).all()
    assert len(page.evaluate(f"{VIEW}.selection.polygon")) > 3
    page.get_by_role("region", name="Selection").get_by_role("button", name="Clear").click()
    assert page.evaluate(f"{VIEW}.selection.polygon") is None
    assert (np.array(page.evaluate(f"[...{VIEW}.categories]")) < 10).all()


def test_the_dots_on_the_manifold_can_be_made_transparent(opened):
    page = opened("first")
    slider = page.get_by_role("slider", name="dots")
    assert not slider.is_visible()
    page.keyboard.press("m")
    page.traffic.settle()
    slider.fill("0")
    page.traffic.settle()
    without = plane(page).screenshot()
    slider.fill("1")
    page.wait_for_timeout(200)
    assert plane(page).screenshot() != without


def test_the_principal_components_are_those_of_numpy(opened):
    page = opened("three")
    wait_for_all_codes(page)
    page.locator(".projection select").first.select_option("pca")
    page.traffic.settle()
    shown = np.array(page.evaluate(f"{VIEW}.stage.coordinates.map(one => [...one])")).T
    _, vectors = np.linalg.eigh(np.cov(codes(page).T))
    expected = codes(page) @ vectors[:, [2, 1]]
    signs = np.sign((expected * shown).sum(0))
    np.testing.assert_allclose(shown, expected * signs, atol=1e-4)
    # A position of the plane is a code that lies there.
    page.mouse.move(*at(page, 0.4, 0.6))
    page.traffic.settle()
    z, place = page.evaluate(f"[[...{VIEW}.cursor.z], {VIEW}.cursor.projection.toPlane({VIEW}.cursor.z)]")
    np.testing.assert_allclose(np.array(z) @ vectors[:, [2, 1]] * signs, place, atol=1e-4)


def test_on_a_plane_without_codes_the_point_is_that_of_an_example(opened, monkeypatch):
    monkeypatch.setattr("lowerbound.serving.explorer.info.has_umap", lambda: True)
    squared = lambda codes: np.ascontiguousarray(codes[:, :2] ** 2)  # noqa: E731
    monkeypatch.setattr("lowerbound.serving.explorer.session.umap_plane", squared)
    page = opened("three")
    wait_for_all_codes(page)
    page.keyboard.press("m")
    page.locator(".projection select").first.select_option("umap")
    page.traffic.settle()
    shown = np.array(page.evaluate(f"{VIEW}.stage.coordinates.map(one => [...one])")).T
    np.testing.assert_allclose(shown, codes(page)[:, :2] ** 2, rtol=1e-5)
    manifold = page.get_by_role("button", name="Manifold")
    assert manifold.is_disabled() and manifold.get_attribute("aria-pressed") == "false"
    x, y = page.evaluate(f"{VIEW}.stage.scatter.toPixels(...{shown[700].tolist()})")
    box = plane(page).bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.traffic.settle()
    z = page.evaluate(f"[...{VIEW}.cursor.z]")
    assert np.abs(codes(page) - z).max(1).min() < 1e-6


def test_umap_that_is_not_installed_is_not_offered(opened, monkeypatch):
    monkeypatch.setattr("lowerbound.serving.explorer.info.has_umap", lambda: False)
    option = opened("three").locator("option", has_text="UMAP")
    assert option.is_disabled() and "pip install umap-learn" in option.inner_text()


def test_an_example_is_found_by_split_and_number(opened):
    page = opened("first")
    box = page.get_by_role("searchbox")
    for text, found in {"test 12": 1449, "13": 1450, "val 3": 1260, "train 1,000": 1000, "Test #0": 1437}.items():
        box.fill(text)
        page.get_by_role("button", name="Find").click()
        np.testing.assert_allclose(page.evaluate(f"[...{VIEW}.cursor.z]"), codes(page)[found], rtol=1e-6)
    refused = {
        "test 360": "The numbers of test are 0 to 359.",
        "held 3": "No split held; this run has train, validation, test.",
        "?": "Enter a split and a number, such as test 12.",
    }
    for text, problem in refused.items():
        box.fill(text)
        page.get_by_role("button", name="Find").click()
        assert box.evaluate("input => input.validationMessage") == problem


@torch.no_grad()
def test_a_draw_is_the_mean_and_the_deviation_times_the_noise_and_is_decoded(opened, folder):
    page = opened("first")
    page.get_by_role("searchbox").fill("test 12")
    page.get_by_role("button", name="Find").click()
    part = page.get_by_role("region", name="Reparameterisation")
    part.get_by_role("button", name="Draw ε").click()
    page.traffic.settle()
    rows = part.locator("tbody tr").all_inner_texts()
    mean, deviation, noise, z = np.array(
        [[float(cell.replace("−", "-")) for cell in row.split("\t")[1:]] for row in rows]
    ).T
    np.testing.assert_allclose(z, mean + deviation * noise, atol=2e-3)
    np.testing.assert_allclose(mean, codes(page)[1449], atol=1e-3)
    assert (noise != 0).all()
    exact = page.evaluate(f"[...{VIEW}.stage.draws.at(-1)]")
    expected = load_model(folder / "first").decode(torch.tensor([exact])).mean.numpy().reshape(-1)
    np.testing.assert_allclose(pixels_of(page, ".epsilon-decoded canvas"), 255 * expected, atol=1)


def test_a_drawing_in_a_corner_is_given_the_place_and_size_of_the_data(opened):
    page = opened("first")
    page.get_by_label("fit to the data").wait_for()
    draw(page, (0.1, 0.1), (0.1, 0.3))
    seen = pixels_of(page, ".found canvas").reshape(8, 8) / 255
    rows, columns = np.mgrid[:8, :8] + 0.5
    assert abs((seen * rows).sum() / seen.sum() - 4) < 0.5
    assert abs((seen * columns).sum() / seen.sum() - 4) < 0.7
    assert (seen.max(1) > 0.3).sum() >= 7  # digits fill the height
    fitted = pixels_of(page, ".found canvas")
    page.get_by_label("fit to the data").uncheck()
    for _ in range(100):  # the drawing is encoded again a moment later
        if (pixels_of(page, ".found canvas") != fitted).any():
            break
        page.wait_for_timeout(50)
    page.traffic.settle()
    seen = pixels_of(page, ".found canvas").reshape(8, 8) / 255
    assert (seen * rows).sum() / seen.sum() < 2.5


def test_a_drawing_is_compared_with_the_elbo_of_the_test_examples(opened, folder):
    page = opened("first")
    draw(page, (0.1, 0.1), (0.9, 0.9), (0.1, 0.9), (0.9, 0.1))
    rows = page.locator(".found .numbers dd").all_inner_texts()
    elbo = float(rows[0].replace("−", "-").split()[0])
    known = read_tensors((folder / "first" / "results.safetensors").read_bytes())["elbo_per_image"]
    share = (known < elbo).mean()
    words = page.locator(".typicality").inner_text()
    if share == 0:
        assert "lower than that of every test example" in words
    else:
        assert f"{round(100 * (share if share >= 0.05 else 1 - share))} %" in words


def test_a_run_is_compared_with_others_only_and_both_encode_one_drawing(opened):
    page = opened("first", "second")
    offered = page.get_by_label("Compare with").locator("option").all_inner_texts()
    assert "first" not in offered and {"none", "second", "three", "rows"} == set(offered)
    draw(page, (0.3, 0.2), (0.7, 0.8))
    numbers = page.locator(".found .numbers")
    assert numbers.count() == 2
    # Both runs are copies of one.
    assert numbers.first.inner_text() == numbers.last.inner_text()
    page.locator("#run").select_option("second")
    page.traffic.settle()
    assert page.get_by_label("Compare with").input_value() == ""


def test_codes_and_pictures_go_back_over_the_epochs(opened):
    page = opened("first")
    page.get_by_role("button", name="Show the epochs").click()
    part = page.get_by_role("region", name="Over the epochs")
    part.locator("canvas.pictures").wait_for()
    assert "weights that were kept" in part.locator(".place").inner_text()
    last = pixels_of(page, ".frames canvas"), pixels_of(page, ".frames .pictures")
    part.get_by_role("slider", name="epoch").fill("0")
    assert part.locator(".place").inner_text() == "Before training."
    first = pixels_of(page, ".frames canvas"), pixels_of(page, ".frames .pictures")
    assert all((one != other).any() for one, other in zip(first, last, strict=True))
    part.get_by_role("button", name="Play").click()
    part.get_by_text("weights that were kept").wait_for()
    assert (pixels_of(page, ".frames .pictures") == last[1]).all()
