"""What `score` returns: an order, verdicts and reasons, in words and for other programs."""

from dataclasses import replace

import numpy as np
import pytest

from lowerbound.evaluation.anomaly_scores import AnomalyVerdicts
from lowerbound.evaluation.conformal import Threshold
from lowerbound.inference.explanations import Explanation, Reason
from lowerbound.inference.scored import Scored, as_json, verdict_in_words

REASON = Reason("height", 4.5, "400", "171")


@pytest.fixture
def scored():
    judged = AnomalyVerdicts(
        {"negative-elbo": np.array([1.0, np.nan, 7.0, 3.0])}, {"negative-elbo": Threshold(2.5, 0.1, 9)}, "negative-elbo"
    )
    return Scored(("a", "b", "c", "d"), judged, explained={2: Explanation(5.0, 4.5, 0.5, (REASON,))})


def test_the_most_anomalous_come_first_and_those_without_a_score_last(scored):
    assert scored.order == [2, 3, 0, 1]
    assert repr(scored) == "Scored(2 of 3 anomalous, negative-elbo above 2.50 nats)"
    assert verdict_in_words(scored).startswith("2 of 3 are anomalous: negative-elbo above 2.50, the threshold for a")


def test_a_notebook_escapes_names(scored):
    shown = replace(scored, ids=("a", "b", "<b>", "d"))._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>" not in shown


def test_a_notebook_shows_the_worst_with_their_verdicts_and_reasons(scored, monkeypatch):
    assert "The 3 most" not in scored._repr_html_()
    monkeypatch.setattr("lowerbound.inference.scored.MOST_SHOWN", 3)
    shown = scored._repr_html_()
    assert "The 3 most anomalous:" in shown and verdict_in_words(scored) in shown
    rows = [row.split("</tr>")[0] for row in shown.split("<tr>")[2:]]
    assert [row[4] for row in rows] == ["c", "d", "a"]
    assert "7.00" in rows[0] and "anomalous" in rows[0] and scored.explained[2].text in rows[0]
    assert "anomalous" not in rows[2]


def test_json_has_the_reasons_of_the_worst(scored):
    found = as_json(scored)
    reasons = {"excess": 5.0, "distortion": 4.5, "rate": 0.5, "reasons": [vars(REASON)]}
    verdict = {"id": "c", "score": 7.0, "anomalous": True, "text": "height +4.5, rate +0.5"}
    assert found["explained"] == [verdict | reasons]
    assert [example["anomalous"] for example in found["examples"]] == [0, None, 1, 1]


def test_a_model_that_cannot_be_taken_apart_says_only_how_much():
    whole = Explanation(5.0, float("nan"), float("nan"), ())
    assert whole.text == "-ELBO +5.0"
    assert whole.as_json() == {"excess": 5.0, "distortion": None, "rate": None, "reasons": []}
