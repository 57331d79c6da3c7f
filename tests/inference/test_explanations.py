"""Why an example is anomalous: the element that was made unusual is named first, and the parts add up."""

from pathlib import Path

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.evaluation.anomaly_scores import NUM_DRAWS, measure
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.errors import UsageError
from lowerbound.inference.explanations import explain
from untrained_models import untrained_run

RNG = np.random.default_rng(0)
TABLE = {"x": RNG.normal(size=240).tolist(), "y": RNG.normal(size=240).tolist(), "kind": ["a", "b", "c"] * 80}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    held = {
        "table": TABLE,
        "array": RNG.normal(size=(240, 6)).astype(np.float32),
        "image": RNG.integers(90, 110, (240, 12, 12), np.uint8),
    }
    folder = tmp_path_factory.mktemp("explained")
    return {kind: untrained_run(folder / kind, values) for kind, values in held.items()}


def explained(run, data):
    examples = run.examples(data).examples
    negative_elbo = measure(run.vae, examples).negative_elbo
    return examples, explain(run, run.calibration(), examples, negative_elbo)


def unusual(kind):
    """Two examples, of which one element, or a part, of the second is unusual, and its name."""
    if kind == "table":
        return {"x": [0.1, 0.1], "y": [0.2, 7.0], "kind": ["a", "a"]}, "y"
    if kind == "array":
        values = np.zeros((2, 6), np.float32)
        values[1, 4] = 50
        return values, "element 4"
    values = np.full((2, 12, 12), 100, np.uint8)
    values[1, 6:9, 3:6] = 255
    return values, "rows 6-8, columns 3-5"


@pytest.mark.parametrize("kind", ["table", "array", "image"])
def test_the_element_that_is_unusual_comes_first(runs, kind):
    data, name = unusual(kind)
    _, (usual, worst) = explained(runs[kind], data)
    assert worst.reasons[0].element == name
    assert worst.reasons[0].excess > 5 * max(1.0, usual.excess)
    assert (name in worst.text and "distortion" in worst.text) or kind != "image"
    if kind == "table":
        assert (worst.reasons[0].value, worst.text.split()[0]) == ("7", "y")


@pytest.mark.parametrize("kind", ["table", "array", "image"])
def test_distortion_and_rate_add_up_to_the_excess_of_negative_elbo(runs, kind):
    run = runs[kind]
    examples, found = explained(run, unusual(kind)[0])
    normal = run.calibration().normal.negative_elbo.mean()
    elbo = expected_terms(run.vae, examples, NUM_DRAWS, 0).elbo
    for one, value in zip(found, elbo, strict=True):
        assert one.excess == pytest.approx(-float(value) - normal, rel=1e-5)
        assert one.distortion + one.rate == pytest.approx(one.excess)


def test_a_missing_cell_is_no_reason(runs):
    _, (found,) = explained(runs["table"], {"x": [None], "y": [7.0], "kind": ["b"]})
    assert found.reasons[0].element == "y"
    assert "x" not in [reason.element for reason in found.reasons]


def test_images_come_with_themselves_and_their_reconstruction(runs):
    data, _ = unusual("image")
    _, found = explained(runs["image"], data)
    given, expected = found[1].pictures
    np.testing.assert_allclose(given[6:9, 3:6], 1.0)
    np.testing.assert_allclose(expected[..., 0] * 255, runs["image"].reconstruct(data)[1, ..., 0], atol=1e-3)


def test_a_run_scores_what_it_is_given():
    run = lb.Run(Path("there"), None, None)
    with pytest.raises(UsageError, match="there"):
        run.score(np.zeros((1, 6)))


def test_python_scores_objects_and_explains_the_worst(runs):
    data, _ = unusual("table")
    scored = lb.score(runs["table"].path, data)
    assert list(scored.explained) == [1, 0] and len(scored) == 2
    assert "1 of 2 anomalous" in repr(scored) and scored.explained[1].reasons[0].element == "y"
    frame = lb.score(runs["array"].path, unusual("array")[0], num_explained=1)
    assert [reason.element for reason in frame.explained[1].reasons][:1] == ["element 4"]
