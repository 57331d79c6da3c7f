"""The geometry of the page, space.js, beside that of the model: the same points are codes, on the same paths."""

import json
from importlib import resources

import pytest
import torch
from torch.testing import assert_close

from lowerbound.probability.spaces import REAL, SIMPLEX, SPHERE, OneHot

SPACES = {"real": REAL, "sphere": SPHERE, "simplex": SIMPLEX, "one-hot": OneHot(3)}
ENDS = {
    "real": ([0.5, -2.0, 3.0], [1.0, 0.0, 0.0]),
    "sphere": ([1.0, 0.0, 0.0], [0.0, 0.6, 0.8]),
    "simplex": ([0.2, 0.3, 0.5], [0.0, 1.0, 0.0]),
    "one-hot": ([1.0, 0, 0, 0, 1, 0], [0.0, 0, 1, 1, 0, 0]),
}
CALL = """async ([source, name, values]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const asArray = (value) => (Array.isArray(value) ? Float32Array.from(value) : value);
    return [...(await import(url))[name](...values.map(asArray))];
}"""

every_space = pytest.mark.parametrize("name", SPACES)


@pytest.fixture(scope="module")
def called(browser):
    """A function of space.js, called in a browser."""
    page = browser.new_page()
    source = (resources.files("lowerbound") / "serving/explorer/page/space.js").read_text(encoding="utf-8")

    def call(function, *values):
        return torch.tensor(page.evaluate(CALL, [source, function, list(values)]), dtype=torch.float32)

    yield call
    page.close()


def about(name, num):
    return {"space": {"name": name, "num_categories": 3}, "latent_dim": num}


@every_space
def test_a_point_moved_along_any_latent_is_a_code_with_that_latent_where_it_was_put(called, name):
    start, _ = ENDS[name]
    for latent in range(len(start)):
        moved = [*start]
        moved[latent] = 0.9
        z = called("snap", about(name, len(start)), moved, [latent])
        assert SPACES[name].problem(z[None]) == ""
        assert_close(z[latent], torch.tensor(1.0 if name == "one-hot" else 0.9))


@every_space
@pytest.mark.parametrize("point", [[0.0, 0, 0], [3.0, -4.0, 0.0], [0.0, 0.0, 2.0], [0.3, 0.3, 0.1]])
@pytest.mark.parametrize("fixed", [[], [0, 1], [0, 1, 2]])
def test_any_point_of_the_plane_has_a_code(called, name, point, fixed):
    z = called("snap", about(name, 3), point, fixed)
    assert SPACES[name].problem(z[None]) == "", json.dumps(z.tolist())


@every_space
def test_the_path_is_that_of_the_model(called, name):
    begin, end = (torch.tensor(values) for values in ENDS[name])
    points = called("pathBetween", about(name, len(begin)), *ENDS[name], 9).reshape(9, -1)
    assert_close(points, SPACES[name].path(begin, end, 9), rtol=0, atol=1e-6)
