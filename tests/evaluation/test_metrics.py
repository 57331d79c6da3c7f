"""A metric that does not apply is left out with its reason, and one that fails loses nothing but itself."""

import numpy as np
import pytest

from lowerbound.data.sources import split_array
from lowerbound.evaluation import metrics
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.metrics import Metric, Subject, first_reason, run_metrics
from lowerbound.evaluation.results import Measurements
from lowerbound.foundation.errors import DataError, Interrupted
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


@pytest.fixture
def subject():
    model = build_model(ModelConfig(hidden=(2,)), (3,), generator(0, "weights"))
    return Subject(model, split_array(np.zeros((20, 3), np.float32)), EvaluationConfig(), "density")


def number(name, value):
    return lambda subject: Measurements((), {name: np.array([value])})


def failing(error):
    def measure(subject):
        raise error

    return Metric(measure)


def test_later_metrics_see_what_earlier_ones_have_measured(subject):
    def doubled(subject):
        return Measurements((), {"twice": 2 * subject.known.arrays["once"]})

    found = run_metrics({"once": Metric(number("once", 3)), "twice": Metric(doubled)}, subject)
    assert found.arrays["twice"].tolist() == [6]
    assert found.left_out == {}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(DataError("no cells are known"), "failed: no cells are known"), (ValueError("x\ny"), "failed: ValueError: x y")],
)
def test_a_metric_that_fails_is_named_and_the_others_are_kept(subject, monkeypatch, error, reason):
    monkeypatch.setattr(metrics, "CAUGHT", (Exception,))
    table = {"before": Metric(number("before", 1)), "broken": failing(error), "after": Metric(number("after", 2))}
    found = run_metrics(table, subject)
    assert set(found.arrays) == {"before", "after"}
    assert found.left_out == found.failures == {"broken": reason}


@pytest.mark.parametrize("error", [Interrupted("stopped"), KeyboardInterrupt()])
def test_an_interrupted_metric_ends_the_evaluation(subject, monkeypatch, error):
    monkeypatch.setattr(metrics, "CAUGHT", (Exception,))
    with pytest.raises(type(error)):
        run_metrics({"stopped": failing(error)}, subject)


def test_the_first_condition_that_is_not_met_is_the_reason(subject):
    applies = first_reason(lambda subject: "", lambda subject: "needs labels", lambda subject: "needs images")
    found = run_metrics({"probe": Metric(number("probe", 1), applies)}, subject)
    assert found.left_out == {"probe": "needs labels"}
    assert found.failures == {}
