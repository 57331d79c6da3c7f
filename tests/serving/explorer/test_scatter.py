"""What the explorer's scatter paints, by both of its renderers, read from the screen."""

import numpy as np
import pytest

from scatter_page import COLOURS, colour_at, picture, pixels, scatters, show, view_of

RENDERERS = ("webgl", "raster")


@pytest.fixture
def open_scatter(browser):
    with scatters(browser) as open_page:
        yield open_page


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_point_is_painted_where_to_pixels_says_in_its_own_colour(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 9})
    xy = np.array([[-3.0, 1.0], [2.0, 2.5], [0.0, 0.0], [2.5, -2.0]])
    show(page, xy, np.arange(4))
    image, view = picture(page), view_of(page)
    places = np.array(page.evaluate("xy => xy.map(([x, y]) => scatter.toPixels(x, y))", xy.tolist()))
    np.testing.assert_allclose(places, pixels(view, xy), atol=1e-9)
    for place, colour in zip(places, COLOURS, strict=True):
        np.testing.assert_allclose(colour_at(image, place), colour, atol=0.01)
        for away in ((7, 0), (-7, 0), (0, 7), (0, -7)):
            np.testing.assert_array_equal(colour_at(image, place + away), 1.0)
    area = (image.min(axis=-1) < 0.6).sum() / 4
    assert abs(area - np.pi * 4.5**2) < 8  # discs of nine pixels across


@pytest.mark.parametrize("renderer", RENDERERS)
def test_digits_last_far_from_zero_and_deep_in_the_data(open_scatter, renderer):
    """At 100 to 101, float32 tells points apart that lie 8e-6 from each other: here they are 40 pixels apart."""
    page = open_scatter(renderer, {"pointSize": 9})
    step = 2.0**-17
    xy = np.array([[100.0, 100.0], [101.0, 101.0], [100.5, 100.5], [100.5 + step, 100.5 - step]])
    show(page, xy, np.array([0, 0, 1, 2]))
    page.evaluate("([x, y, half]) => scatter.setView({x0: x - half, x1: x + half, y0: y - half, y1: y + half})",
                  [100.5, 100.5, 5 * step])  # fmt: skip
    image, places = picture(page), pixels(view_of(page), xy[2:])
    assert np.diff(places[:, 0]) == pytest.approx(40)
    for place, colour in zip(places, COLOURS[1:], strict=False):
        np.testing.assert_allclose(colour_at(image, place), colour, atol=0.01)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_what_is_not_finite_masked_or_of_a_hidden_category_is_neither_painted_nor_hit(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 9})
    xy = np.array([[np.nan, 0.0], [np.inf, 1.0], [-2, 0], [0, 0], [2, 0], [-2, 2], [2, -2]])
    show(page, xy, np.array([0, 0, 0, 1, 2, 0, 0]))
    page.evaluate("scatter.setVisible(Uint8Array.of(1, 1, 0, 1, 1, 1, 1)); scatter.setCategories([1, 0, 1, 1])")
    image, view = picture(page), view_of(page)
    for place in pixels(view, xy[2:4]):
        np.testing.assert_array_equal(colour_at(image, place), 1.0)
        assert page.evaluate("p => scatter.nearest(...p, 9)", place.tolist()) == -1
    assert page.evaluate("p => scatter.nearest(...p, 9)", pixels(view, xy[4:5])[0].tolist()) == 4
    page.evaluate("scatter.setVisible(null); scatter.setCategories(null)")
    image = picture(page)
    assert [page.evaluate("p => scatter.nearest(...p, 9)", place.tolist()) for place in pixels(view, xy[2:4])] == [2, 3]
    np.testing.assert_allclose(colour_at(image, pixels(view, xy[3:4])[0]), COLOURS[1], atol=0.01)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_background_lies_under_the_points_with_row_zero_at_the_top(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 9})
    show(page, np.array([[-4.0, -3.0], [4.0, 3.0], [1.0, 1.0]]))
    page.evaluate("""() => {
      const image = new OffscreenCanvas(2, 2), context = image.getContext("2d");
      ["red", "lime", "blue", "yellow"].forEach((colour, k) => {
        context.fillStyle = colour;
        context.fillRect(k % 2, k >> 1, 1, 1);
      });
      scatter.setBackground(image, { x0: -2, x1: 2, y0: -2, y1: 2 }, { sampling: "nearest", opacity: 0.5 });
    }""")
    image, view = picture(page), view_of(page)
    quarters = pixels(view, [[-1, 1.5], [1.5, 1.5], [-1, -1], [1, -1]])
    expected = 0.5 + 0.5 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    np.testing.assert_allclose([colour_at(image, place) for place in quarters], expected, atol=0.01)
    np.testing.assert_allclose(colour_at(image, pixels(view, [[1, 1]])[0]), COLOURS[0], atol=0.01)
    np.testing.assert_array_equal(colour_at(image, pixels(view, [[2.1, 0]])[0]), 1.0)
    page.evaluate("scatter.setBackground(null)")
    np.testing.assert_array_equal(colour_at(picture(page), quarters[0]), 1.0)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_translucent_points_are_painted_one_over_the_other(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 11, "opacity": 0.5})
    show(page, np.array([[-3.0, -3.0], [3.0, 3.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.array([0, 0, 1, 2, 3]))
    image, view = picture(page), view_of(page)
    pile = np.ones(3)
    for colour in COLOURS[1:]:
        pile = 0.5 * pile + 0.5 * colour
    np.testing.assert_allclose(colour_at(image, pixels(view, [[0, 0]])[0]), pile, atol=0.02)
    np.testing.assert_allclose(colour_at(image, pixels(view, [[3, 3]])[0]), 0.5 + 0.5 * COLOURS[0], atol=0.01)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_highlighted_point_lies_above_the_others_within_a_halo(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 10})
    xy = np.array([[-2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.05, 0.0]])
    show(page, xy, np.array([0, 0, 1, 2]))
    image, (_, covered, *_) = picture(page), pixels(view_of(page), xy)
    np.testing.assert_allclose(colour_at(image, covered), COLOURS[1], atol=0.01)
    page.evaluate("scatter.setHighlight([1])")
    image = picture(page)
    np.testing.assert_allclose(colour_at(image, covered), COLOURS[0], atol=0.01)
    np.testing.assert_allclose(colour_at(image, covered, (5.5, 0)), 1.0, atol=0.3)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_frames_are_drawn_only_when_something_changed(open_scatter, renderer):
    page = open_scatter(renderer)
    show(page, np.array([[-1.0, 0.0], [1.0, 0.0]]))
    page.evaluate("window.hooked = 0; scatter.onOverlay(() => hooked++); 0")
    picture(page)
    before = page.evaluate("[scatter.framesDrawn, hooked]")
    page.wait_for_timeout(100)
    assert page.evaluate("[scatter.framesDrawn, hooked]") == before
    page.evaluate("scatter.redrawOverlay(); painted()")
    assert page.evaluate("[scatter.framesDrawn, hooked]") == [before[0], before[1] + 1]
    page.evaluate("scatter.setOpacity(0.5); scatter.pan(0.1, 0); scatter.redraw(); painted()")
    assert page.evaluate("[scatter.framesDrawn, hooked]") == [before[0] + 1, before[1] + 2]


def test_hooks_draw_in_css_pixels_above_the_points_until_they_are_taken_off(open_scatter):
    page = open_scatter(options={"pointSize": 20}, device_scale_factor=2)
    show(page, np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
    page.evaluate("""() => void (window.off = scatter.onOverlay((context, scatter) => {
      const [px, py] = scatter.toPixels(0, 0);
      context.fillStyle = "black";
      context.fillRect(px - 3, py - 3, 6, 6);
      context.translate(100, 100);  // must not outlast the hook
    }))""")
    page.evaluate("scatter.redraw(); painted()")
    centre = 2 * pixels(view_of(page), [[0, 0]])[0]
    image = picture(page)
    np.testing.assert_allclose([colour_at(image, centre, (dx, 0)) for dx in (-5, 4)], 0.0, atol=0.02)
    np.testing.assert_allclose([colour_at(image, centre, (dx, 0)) for dx in (-9, 8)], [COLOURS[0]] * 2, atol=0.02)
    page.evaluate("off()")
    np.testing.assert_allclose(colour_at(picture(page), centre), COLOURS[0], atol=0.02)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_canvas_that_is_resized_and_resized_back_shows_what_it_showed(open_scatter, renderer):
    page = open_scatter(renderer, {"pointSize": 9})
    xy = np.array([[-3.0, -2.0], [3.0, 2.0]])
    show(page, xy)
    before, view = picture(page), view_of(page)
    page.evaluate("document.getElementById('frame').style.width = '250px'; painted()")
    narrow = view_of(page)
    assert (narrow["x1"] - narrow["x0"]) / 250 == pytest.approx((narrow["y1"] - narrow["y0"]) / 400)
    assert narrow["x0"] < -3 and narrow["x1"] > 3
    points, overlay = page.evaluate("""[...document.querySelectorAll("canvas")].map((canvas) => {
      return [canvas.width, canvas.height, JSON.stringify(canvas.getBoundingClientRect())];
    })""")
    assert points == overlay
    assert points[:2] == [250, 400]
    page.evaluate("document.getElementById('frame').style.width = ''; painted()")
    assert view_of(page) == view
    np.testing.assert_array_equal(picture(page), before)


def test_a_lost_context_comes_back_with_everything(open_scatter):
    page = open_scatter("webgl", {"pointSize": 9})
    show(page, np.array([[-3.0, -2.0], [3.0, 2.0], [0.0, 0.0]]), np.arange(3))
    page.evaluate("""() => {
      const image = new OffscreenCanvas(1, 1);
      image.getContext("2d").fillRect(0, 0, 1, 1);
      scatter.setBackground(image, { x0: -1, x1: 1, y0: -1, y1: 1 });
      scatter.setHighlight([1]);
      scatter.setVisible(Uint8Array.of(0, 1, 1));
    }""")
    before = picture(page)
    page.evaluate("""() => {
      const plane = document.getElementById("plane");
      plane.addEventListener("webglcontextrestored", () => (window.isBack = true));
      window.extension = plane.getContext("webgl2").getExtension("WEBGL_lose_context");
      extension.loseContext();
    }""")
    page.evaluate("scatter.zoom(2); scatter.fit(); painted()")
    page.evaluate("extension.restoreContext()")
    page.wait_for_function("window.isBack", timeout=10_000)
    np.testing.assert_array_equal(picture(page), before)


def test_a_scatter_that_is_destroyed_leaves_nothing_behind(open_scatter):
    page = open_scatter()
    show(page, np.array([[-1.0, 0.0], [1.0, 0.0]]))
    assert page.evaluate("listening > listeningBefore")
    page.evaluate("scatter.redraw(); scatter.destroy(); heard.length = 0")
    page.mouse.move(200, 200)
    page.mouse.click(210, 210)
    page.evaluate("document.getElementById('frame').style.width = '250px'; painted()")
    assert page.evaluate("[listening - listeningBefore, heard.length]") == [0, 0]
    assert page.locator("canvas").count() == 1
