"""What a hand does to the explorer's scatter: pointers, wheel, fingers and keys of a real browser."""

import numpy as np
import pytest

from scatter_page import (
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    colour_at,
    data,
    drag,
    heard,
    move,
    picture,
    pixels,
    scatters,
    show,
    view_of,
)


@pytest.fixture
def open_scatter(browser):
    with scatters(browser) as open_page:
        yield open_page


def cloud(num_points, seed=0):
    """Dataset around the origin in four categories, as float32 has them."""
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(num_points, 2)).astype(np.float32)
    return xy, rng.integers(0, 4, num_points)


def is_inside(xy, polygon):
    """Even-odd, by vertical rays and all edges at once: not how the page does it."""
    x, y = np.asarray(xy, float).T[:, :, None]
    (ax, ay), (bx, by) = np.asarray(polygon).T, np.roll(polygon, -1, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        height = ay + (x - ax) * (by - ay) / (bx - ax)
    return (((ax > x) != (bx > x)) & (height > y)).sum(axis=1) % 2 == 1


def nearest_by_hand(view, xy, admitted, place, radius):
    distances = np.hypot(*(pixels(view, xy) - place).T)
    distances[~admitted] = np.inf
    best = int(distances.argmin())
    return best if distances[best] <= radius else -1


def assert_same_place(view, before, place, atol=1e-6):
    """The data point that lay at `place` still lies there."""
    np.testing.assert_allclose(pixels(view, data(before, [place])), [place], atol=atol)


def scale(view):
    return WIDTH / (view["x1"] - view["x0"])


def test_the_first_points_are_fitted_with_a_margin_of_four_percent_and_equal_scales(open_scatter):
    page = open_scatter()
    show(page, np.array([[-10.0, 0.0], [30.0, 2.0], [np.nan, 500.0], [np.inf, 0.0]]))
    view = view_of(page)
    assert (view["x0"], view["x1"]) == pytest.approx((-11.6, 31.6))
    assert (view["y0"] + view["y1"]) / 2 == pytest.approx(1)
    assert scale(view) == pytest.approx(HEIGHT / (view["y1"] - view["y0"]))


def test_free_axes_are_fitted_each_by_itself(open_scatter):
    page = open_scatter(options={"aspect": 0})
    show(page, np.array([[-10.0, 0.0], [30.0, 2.0]]))
    assert view_of(page) == pytest.approx({"x0": -11.6, "x1": 31.6, "y0": -0.08, "y1": 2.08})


@pytest.mark.parametrize("xy", [np.empty((0, 2)), np.full((3, 2), np.nan), np.array([[5.0, -7.0]])])
def test_a_view_of_next_to_nothing_is_a_view(open_scatter, xy):
    page = open_scatter()
    show(page, xy)
    view = view_of(page)
    assert view["x1"] > view["x0"] and view["y1"] > view["y0"]
    finite = xy[np.isfinite(xy).all(axis=1)]
    places = pixels(view, finite.reshape(-1, 2))
    np.testing.assert_allclose(places, np.full_like(places, [WIDTH / 2, HEIGHT / 2]))
    assert page.evaluate("scatter.nearest(250, 200, 5)") == (0 if len(finite) else -1)


def test_a_fitted_view_follows_new_points_and_a_chosen_one_stays(open_scatter):
    page = open_scatter()
    show(page, np.array([[-1.0, 0.0], [1.0, 0.0]]))
    show(page, np.array([[-10.0, 0.0], [10.0, 0.0]]))
    assert view_of(page)["x0"] == pytest.approx(-10.8)
    page.evaluate("scatter.setView({ x0: -2, x1: 2, y0: -1, y1: 1 })")
    chosen = view_of(page)
    show(page, np.array([[-10.0, 0.0], [30.0, 0.0]]))
    assert view_of(page) == chosen
    page.evaluate("scatter.setView({ x0: NaN, x1: 2, y0: -1, y1: 1 })")
    assert view_of(page) == chosen


def test_the_nearest_point_is_that_of_a_search_through_all_that_are_shown(open_scatter):
    page = open_scatter()
    xy, category = cloud(3000)
    shown = category != 2
    shown[::7] = False
    show(page, xy, category)
    page.evaluate("m => { scatter.setVisible(Uint8Array.from(m)); scatter.setCategories([1, 1, 0, 1]) }",
                  [int(k % 7 > 0) for k in range(3000)])  # fmt: skip
    view = view_of(page)
    places = np.random.default_rng(1).uniform((0, 0), (WIDTH, HEIGHT), (200, 2))
    found = page.evaluate("all => all.map(([px, py]) => scatter.nearest(px, py, 12))", places.tolist())
    expected = [nearest_by_hand(view, xy, shown, place, 12) for place in places]
    assert found == expected
    assert -1 in expected and max(expected) > 0


def test_hovering_tells_which_point_is_under_the_pointer_once(open_scatter):
    page = open_scatter()
    xy = np.array([[-2.0, 0.0], [0.0, 0.0], [2.0, 1.0]])
    show(page, xy, np.arange(3))
    places = pixels(view_of(page), xy)
    heard(page, "hover")
    move(page, *(places[2] + (3, 2)))
    move(page, *(places[2] + (1, 1)))
    move(page, *(places[2] + (40, 0)))
    hovered = heard(page, "hover")
    assert [index for index, _ in hovered] == [2, -1]
    assert (hovered[0][1]["px"], hovered[0][1]["py"]) == pytest.approx(tuple(places[2] + (3, 2)), abs=1)
    move(page, *places[0])
    page.evaluate("scatter.setCategories([0, 1, 1])")
    assert [index for index, _ in heard(page, "hover")] == [0, -1]
    move(page, *places[1])
    page.mouse.move(5, 5)
    events = page.evaluate("heard.map((event) => event[0])")
    assert events[-1] == "leave"
    assert [index for index, _ in heard(page, "hover")] == [1, -1]


def test_a_click_tells_its_place_its_point_and_shift(open_scatter):
    page = open_scatter()
    xy = np.array([[-2.0, 0.0], [2.0, 1.0]])
    show(page, xy)
    view = view_of(page)
    page.mouse.click(LEFT + 40, TOP + 30)
    page.keyboard.down("Shift")
    place = np.round(pixels(view, xy[1:])[0])
    page.mouse.click(LEFT + place[0], TOP + place[1])
    page.keyboard.up("Shift")
    (empty,), (point,) = heard(page, "click")
    assert (empty["index"], empty["shiftKey"], empty["px"], empty["py"]) == (-1, False, 40, 30)
    assert (empty["x"], empty["y"]) == pytest.approx(tuple(data(view, [[40, 30]])[0]))
    assert (point["index"], point["shiftKey"]) == (1, True)
    assert view_of(page) == view


@pytest.mark.parametrize("control", [False, True])
def test_the_wheel_zooms_and_leaves_the_point_under_the_pointer_where_it_is(open_scatter, control):
    page = open_scatter()
    show(page, cloud(100)[0])
    before = view_of(page)
    move(page, 120, 330)
    if control:
        page.keyboard.down("Control")  # as browsers report the pinch of a trackpad
    page.mouse.wheel(0, -40)
    page.wait_for_function("b => scatter.view.x0 !== b", arg=before["x0"])
    assert scale(view_of(page)) > scale(before)
    assert_same_place(view_of(page), before, (120, 330))
    page.mouse.wheel(0, 80)
    page.wait_for_function("b => scatter.view.x1 - scatter.view.x0 > b", arg=before["x1"] - before["x0"])
    assert_same_place(view_of(page), before, (120, 330))
    assert all(by == "gesture" for _, by in heard(page, "view")[-2:])


def test_zoom_ends_where_float32_does(open_scatter):
    page = open_scatter()
    show(page, cloud(100)[0])
    whole = scale(view_of(page))
    page.evaluate("for (let k = 0; k < 100; k++) scatter.zoom(3, 0.5, 0.5)")
    assert scale(view_of(page)) == pytest.approx(1e5 * whole, rel=0.5)
    page.evaluate("for (let k = 0; k < 100; k++) scatter.zoom(1 / 3)")
    assert scale(view_of(page)) == pytest.approx(whole / 100, rel=0.5)


def test_dragging_takes_the_data_along(open_scatter):
    page = open_scatter()
    show(page, cloud(100)[0])
    before = view_of(page)
    drag(page, (100, 100), (130, 90), (180, 250))
    np.testing.assert_allclose(pixels(view_of(page), data(before, [[100, 100]])), [[180, 250]], atol=1e-6)
    assert heard(page, "click") == []


def test_a_double_click_fits(open_scatter):
    page = open_scatter()
    show(page, cloud(100)[0])
    fitted = view_of(page)
    page.evaluate("scatter.zoom(5); scatter.pan(0.3, 0.2)")
    page.mouse.dblclick(LEFT + 50, TOP + 50)
    assert view_of(page) == fitted


LASSOES = {
    "convex": [(100, 80), (400, 100), (420, 320), (90, 300)],
    "crossing itself": [(100, 80), (400, 320), (400, 80), (100, 320), (250, 20)],
    "beyond the canvas": [(250, 200), (520, 150), (520, 410), (200, 410)],
}


@pytest.mark.parametrize("by_mode", [False, True])
def test_a_lasso_selects_exactly_the_shown_points_inside_it(open_scatter, by_mode):
    page = open_scatter()
    xy, category = cloud(5000)
    show(page, xy, category)
    page.evaluate("scatter.setCategories([1, 0, 1, 1])")
    before = view_of(page)
    if by_mode:
        page.evaluate("scatter.setMode('lasso')")
    else:
        page.keyboard.down("Shift")
    for places in LASSOES.values():
        drag(page, *places)
        polygon = data(before, places)
        ((indices, told),) = heard(page, "select")
        np.testing.assert_allclose(told, polygon, atol=1e-9)
        expected = np.flatnonzero(is_inside(xy, polygon) & (category != 1))
        assert len(expected) > 200
        np.testing.assert_array_equal(indices, expected)
    assert view_of(page) == before


def test_a_lasso_is_seen_while_it_is_drawn_and_escape_gives_it_up(open_scatter):
    page = open_scatter()
    show(page, cloud(100)[0])
    before = view_of(page)
    blank = picture(page)
    page.keyboard.down("Shift")
    move(page, 100, 100)
    page.mouse.down()
    for place in [(300, 100), (300, 300), (100, 300)]:
        move(page, *place)
    np.testing.assert_allclose(colour_at(picture(page), (200, 100)), 0.0, atol=0.3)
    page.keyboard.press("Escape")
    np.testing.assert_array_equal(picture(page), blank)
    move(page, 50, 200)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert [event[0] for event in page.evaluate("heard") if event[0] in ("select", "click")] == []
    assert view_of(page) == before


def test_keys_move_zoom_and_fit_where_the_canvas_has_focus(open_scatter):
    page = open_scatter()
    show(page, cloud(100)[0])
    fitted = view_of(page)
    page.keyboard.press("ArrowRight")
    assert view_of(page) == fitted
    page.keyboard.press("Tab")
    width, height = fitted["x1"] - fitted["x0"], fitted["y1"] - fitted["y0"]
    heard(page, "view")
    for key, dx, dy in [("ArrowRight", 1, 0), ("ArrowUp", 0, 1), ("ArrowLeft", -1, 0), ("ArrowDown", 0, -1)]:
        before = view_of(page)
        page.keyboard.press(key)
        assert view_of(page)["x0"] == pytest.approx(before["x0"] + 0.1 * dx * width)
        assert view_of(page)["y1"] == pytest.approx(before["y1"] + 0.1 * dy * height)
    assert [by for _, by in heard(page, "view")] == ["gesture"] * 4
    page.keyboard.press("+")
    assert scale(view_of(page)) == pytest.approx(1.25 * scale(fitted))
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert scale(view_of(page)) == pytest.approx(scale(fitted) / 1.25)
    page.keyboard.press("0")
    assert view_of(page) == fitted


@pytest.fixture
def fingers(open_scatter):
    """A touch screen with a scatter of a hundred points, and a function that puts fingers on it."""
    page = open_scatter(has_touch=True)
    show(page, cloud(100)[0])
    session = page.context.new_cdp_session(page)

    def touch(kind, places):
        on_screen = [{"x": LEFT + px, "y": TOP + py, "id": finger} for finger, (px, py) in places.items()]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": on_screen})
        if kind == "Move":
            page.evaluate("painted()")  # a browser tells of moves once a frame

    return page, touch


def test_two_fingers_zoom_and_move_at_once_and_the_last_one_moves_on(fingers):
    page, touch = fingers
    before = view_of(page)
    touch("Start", {0: (200, 200)})
    touch("Start", {0: (200, 200), 1: (300, 200)})
    for step in range(1, 6):
        touch("Move", {0: (200 - 10 * step, 200 + 10 * step), 1: (300 + 10 * step, 200 + 10 * step)})
    pinched = view_of(page)
    assert scale(pinched) == pytest.approx(2 * scale(before), rel=1e-6)
    np.testing.assert_allclose(pixels(pinched, data(before, [[250, 200]])), [[250, 250]], atol=1e-6)
    touch("End", {1: (350, 250)})
    touch("Move", {0: (180, 260)})
    np.testing.assert_allclose(pixels(view_of(page), data(pinched, [[150, 250]])), [[180, 260]], atol=1e-6)
    touch("End", {})
    assert heard(page, "click") == []


def test_a_tap_is_a_click_and_two_taps_fit(fingers):
    page, touch = fingers
    fitted = view_of(page)
    # Not every browser tells of a double click by touch; here none does.
    page.evaluate("addEventListener('dblclick', (event) => event.stopPropagation(), true)")
    page.evaluate("scatter.zoom(1.5)")
    xy, view = cloud(100)[0], view_of(page)
    place = np.round(pixels(view, xy[5:6])[0])
    for _ in range(2):
        touch("Start", {0: place.tolist()})
        touch("End", {})
    assert view_of(page) == fitted
    events = page.evaluate("heard")
    names = [event[0] for event in events]
    assert names.count("click") == 2 and "leave" not in names
    assert names.index("move") < names.index("click")
    tapped = events[names.index("click")][1]["index"]
    assert tapped == nearest_by_hand(view, xy, np.ones(100, bool), place, 16)
