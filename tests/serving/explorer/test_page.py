"""The explorer's page in a browser, driven as a person would: what it shows is held against the model itself."""

import shutil
from io import BytesIO
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from browsers import served, until
from explorer_pages import PIXELS, at, draw, lasso, pixels_of, plane
from explorer_runs import trained
from lowerbound.runs.run_log import RunLog, read_log
from lowerbound.serving.explorer.application import application
from lowerbound.serving.http.access import Access
from lowerbound.training.checkpoint import load_model

NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two finished runs, a table's, and one in training, whose log will grow."""
    root = tmp_path_factory.mktemp("explored")
    shutil.copytree(trained(tmp_path_factory, "digits"), root / "first")
    shutil.copytree(trained(tmp_path_factory, "digits"), root / "second")
    shutil.copytree(trained(tmp_path_factory, "table"), root / "rows")
    (root / "young").mkdir()
    shutil.copy(root / "first" / "config.toml", root / "young")
    shutil.copy(root / "first" / "metrics.jsonl", root / "young")
    return root


def shown_point(page):
    """The numbers on the sliders: the point that is decoded."""
    return [float(text.replace("−", "-")) for text in page.locator(".sliders output").all_inner_texts()]


def decoded(folder, z):
    with torch.no_grad():
        mean = load_model(folder / "first").decode(torch.tensor([z])).mean
    return np.rint(mean.numpy() * 255).reshape(-1)


def test_the_image_under_the_pointer_is_what_the_model_decodes(opened, folder):
    page = opened("first")
    # Sliders have two digits, so that the point is known to the last of them.
    for number, value in enumerate((0.75, -1.25)):
        page.locator(".sliders input").nth(number).fill(str(value))
    page.traffic.settle()
    assert shown_point(page) == [0.75, -1.25]
    np.testing.assert_allclose(pixels_of(page, ".drawn canvas"), decoded(folder, [0.75, -1.25]), atol=1)


def test_the_decoder_follows_the_pointer_until_it_is_pinned(opened):
    page = opened("first")
    page.mouse.move(*at(page, 0.3, 0.3))
    page.traffic.settle()
    before, place = pixels_of(page, ".drawn canvas"), shown_point(page)
    page.mouse.move(*at(page, 0.7, 0.6))
    page.traffic.settle()
    after, there = pixels_of(page, ".drawn canvas"), shown_point(page)
    assert there[0] > place[0] and there[1] < place[1]
    assert (before != after).any()
    page.mouse.click(*at(page, 0.98, 0.9))  # a corner without points
    pinned = shown_point(page)
    page.mouse.move(*at(page, 0.2, 0.8))
    page.traffic.settle()
    assert shown_point(page) == pinned
    page.keyboard.press("Escape")
    page.mouse.move(*at(page, 0.25, 0.8))
    page.traffic.settle()
    assert shown_point(page) != pinned


def test_hovering_tells_image_label_and_elbo_of_an_example(opened):
    page = opened("first")
    codes = codes_of(page, "first")
    target = codes["mean"][0]
    x, y = page.evaluate("z => window.explorer.views[0].stage.scatter.toPixels(...z)", target)
    box = plane(page).bounding_box()
    page.mouse.move(box["x"] + x + 3, box["y"] + y)
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.wait_for_selector(".example .numbers")
    words = page.locator(".example").inner_text()
    assert "label" in words and "ELBO" in words and "nats" in words
    assert pixels_of(page, ".example canvas").max() > 100


def codes_of(page, run):
    script = """async run => {
        const source = await (await import("explorer/source.js")).openSource();
        const { count, mean, labels } = await source.codes(run);
        const places = [...Array(count).keys()];
        return { mean: places.map(k => [...mean.slice(2 * k, 2 * k + 2)]), labels: [...labels] };
    }"""
    return page.evaluate(script, run)


def test_the_legend_hides_what_is_switched_off_from_hover_and_lasso(opened):
    page = opened("first")
    page.get_by_role("button", name="None").click()
    select_all(page)
    assert "Nothing selected" in selection(page)
    page.get_by_role("group", name="Show and hide").get_by_role("button").first.click()
    select_all(page)
    labels = page.get_by_role("region", name="Selection").locator("tbody tr")
    labels.first.wait_for()
    assert labels.count() == 1


def select_all(page):
    # From where the legend is not.
    lasso(page, ((0.01, 0.99), (0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)))


def selection(page):
    return page.get_by_role("region", name="Selection").inner_text()


def test_a_lasso_counts_what_it_caught_and_saves_it(opened):
    page = opened("first")
    codes = codes_of(page, "first")
    select_all(page)
    assert f"{len(codes['mean']):,} examples" in selection(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    lines = download.value.path().read_text().strip().split("\n")
    assert lines[0] == "split,number_in_split,label,mean_1,mean_2"
    assert len(lines) == len(codes["mean"]) + 1


def test_two_points_make_a_line_that_is_decoded(opened):
    page = opened("first")
    page.get_by_role("button", name="Line", exact=True).click()
    page.mouse.click(*at(page, 0.2, 0.4))
    page.mouse.click(*at(page, 0.8, 0.6))
    strip = page.get_by_role("region", name="Interpolation").locator(".strip canvas")
    strip.first.wait_for()
    assert strip.count() == 9
    assert "straight line in z" in page.get_by_role("region", name="Interpolation").inner_text()
    scrubber = page.get_by_role("slider", name="from A to B")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(700)
    first = scrubber.input_value()
    page.wait_for_timeout(500)
    assert scrubber.input_value() != first


def test_a_drawing_gets_a_posterior_a_reconstruction_and_an_elbo_that_adds_up(opened):
    page = opened("first")
    draw(page, (0.27, 0.18), (0.71, 0.8))
    check_own(page)


def test_a_file_that_is_chosen_is_encoded_as_the_data_were(opened):
    page = opened("first")
    grey = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    page.locator("input[type=file]").set_input_files(
        {"name": "own.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    check_own(page)
    stored = np.rint(grey.reshape(-1) / 255 * 16)  # white is the digits' full scale
    np.testing.assert_allclose(pixels_of(page, ".found canvas"), stored / 16 * 255, atol=1)


@pytest.mark.parametrize(
    "hand_over",
    [
        'document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }))',
        'document.querySelector(".own").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }))',
    ],
    ids=["pasted", "dropped"],
)
def test_an_image_that_is_handed_over_is_encoded(opened, hand_over):
    page = opened("first")
    file = BytesIO()
    Image.new("L", (8, 8), 200).save(file, "PNG")
    page.evaluate(
        f"""bytes => {{ const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "own.png", {{ type: "image/png" }}));
            {hand_over}; }}""",
        list(file.getvalue()),
    )
    check_own(page)


def check_own(page):
    found = page.locator(".found")
    found.locator(".numbers").wait_for()
    page.traffic.settle()
    words = found.inner_text().replace("−", "-")
    rows = dict(zip(found.locator("dt").all_inner_texts(), found.locator("dd").all_inner_texts(), strict=True))
    elbo, rate, distortion = (float(rows[name].replace("−", "-").split()[0]) for name in ("ELBO", "rate", "distortion"))
    assert elbo == pytest.approx(-(rate + distortion), abs=0.02)
    assert "Nearest by pixels" in words and "Nearest in latent space" in words
    marks = page.evaluate("window.explorer.views[0].stage.marks.map(mark => [...mark.z, ...mark.logVariance])")
    assert np.isfinite(marks).all() and np.shape(marks) == (1, 4)


def test_the_same_seed_gives_the_same_samples_and_temperature_zero_all_alike(opened):
    page = opened("first")
    first = pixels_of(page, ".grid canvas")
    page.get_by_role("button", name="Resample").click()
    page.traffic.settle()
    assert (pixels_of(page, ".grid canvas") != first).any()
    page.get_by_label("seed").fill("1")
    page.get_by_label("seed").press("Enter")
    page.traffic.settle()
    assert (pixels_of(page, ".grid canvas") == first).all()
    page.get_by_role("slider", name="temperature").fill("0")
    page.traffic.settle()
    pictures = [np.array(one.evaluate(PIXELS)) for one in page.locator(".grid canvas").all()[:4]]
    assert all((picture == pictures[0]).all() for picture in pictures)


def test_the_manifold_is_painted_and_taken_away(opened):
    page = opened("first")
    bare = BytesIO(plane(page).screenshot())
    page.keyboard.press("m")
    page.traffic.settle()
    painted = BytesIO(plane(page).screenshot())
    page.keyboard.press("m")
    page.traffic.settle()
    means = [
        np.asarray(Image.open(shot).convert("L")).mean() for shot in (bare, painted, BytesIO(plane(page).screenshot()))
    ]
    assert means[1] < means[0] - 40  # a light page under dark images
    assert means[2] == pytest.approx(means[0], abs=2)


def test_two_runs_stand_side_by_side_and_the_address_remembers_them(opened):
    page = opened("first")
    page.get_by_label("Compare with").select_option("second")
    until(page, "document.querySelectorAll('canvas.plane').length === 2")
    page.traffic.settle()
    left, right = (canvas.bounding_box() for canvas in page.locator("canvas.plane").all())
    assert left["y"] == right["y"] and left["x"] < right["x"]
    assert "compare=second" in page.url
    legend = page.get_by_role("region", name="Training").locator(".u-legend").inner_text()
    assert "first, training" in legend and "second, validation" in legend


def test_curves_follow_a_run_that_is_training_and_its_latent_space_comes_when_it_ends(opened, folder):
    page = opened("young")
    about = page.get_by_role("region", name="Training").locator(".place")
    until(page, "document.querySelector('.curves canvas')")
    assert "epoch 1 of 1" in about.inner_text()
    RunLog(folder / "young").append(read_log(folder / "young")[-1] | {"epoch": 2, "num_epochs": 5})
    until(page, "document.querySelector('.curves').closest('section').innerText.includes('epoch 2 of 5')")
    for name in ("model.safetensors", "results.json", "results.safetensors"):
        shutil.copy(folder / "first" / name, folder / "young")
    page.wait_for_selector("canvas.plane", timeout=15_000)


def test_a_table_shows_values_by_the_names_of_its_columns(opened):
    page = opened("rows")
    page.mouse.move(*at(page, 0.4, 0.4))
    page.wait_for_selector(".drawn dt")
    names = page.locator(".drawn dt").all_inner_texts()
    assert len(names) >= 2
    assert page.locator("canvas.pad").count() == 0


def test_beyond_this_machine_the_page_shows_a_run_to_those_who_have_its_token(browser, folder):
    access = Access(frozenset({"127.0.0.1"}), token="a token of the test's own")
    with served(application(folder, access=access, engine="torch")) as address:
        page = browser.new_page()
        page.goto(f"{address}/#token={quote(access.token)}")
        page.wait_for_selector(".legend button")
        # Whoever is shown the address, or finds it in the history, has not the token.
        assert page.url.startswith(address) and "token" not in page.url
        page.reload()
        page.wait_for_selector(".legend button")
        page.close()
        other = browser.new_page()
        other.goto(f"{address}/")
        assert "needs its token" in other.locator(".notice").inner_text()
        other.close()


def test_everything_can_be_reached_by_the_keyboard(opened):
    page = opened("first")
    plane(page).focus()
    before = page.evaluate("window.explorer.views[0].stage.scatter.view")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    after = page.evaluate("window.explorer.views[0].stage.scatter.view")
    assert after["x0"] > before["x0"] and after["x1"] - after["x0"] < before["x1"] - before["x0"]
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    page.locator(".sliders input").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    page.locator(".sliders input").nth(1).focus()
    page.keyboard.press("End")
    page.keyboard.press("b")
    page.get_by_role("region", name="Interpolation").locator(".strip canvas").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_axe_knows_hinders_anybody(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core looks for barriers")
    page = opened("first", "second", color_scheme=scheme)
    page.traffic.settle()
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


def test_it_fits_a_telephone(opened):
    page = opened("first")
    page.set_viewport_size(NARROW)
    page.traffic.settle()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    box = plane(page).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"]
    # Nothing has to be scrolled inside the page to be seen.
    hidden = "box => [box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight]"
    for inner in (".measured", ".traversals .strip"):
        assert max(page.locator(inner).first.evaluate(hidden)) <= 0, inner


def test_the_theme_can_be_chosen_and_is_kept(opened):
    page = opened("first", color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    while "dark" not in page.locator("#theme").inner_text():
        page.locator("#theme").click()
    assert page.evaluate(colour) != light
    page.reload()
    page.wait_for_selector(".legend button")
    assert "dark" in page.locator("#theme").inner_text()
