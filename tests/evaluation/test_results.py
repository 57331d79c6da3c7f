import json
import math
from dataclasses import replace

import numpy as np
import pytest

from lowerbound.evaluation import results
from lowerbound.evaluation.results import SERIOUS, Checked, Finding, Results, Score, read_results, read_scores
from lowerbound.foundation.errors import RunError
from progress_records import record


def score(**changes):
    values = {
        "name": "elbo",
        "value": -1.5,
        "standard_error": 0.1,
        "unit": "nats",
        "split": "test",
        "convention": "grey",
        "num_examples": 10,
        "num_draws": 4,
        "description": "a bound",
    }
    return Score(**(values | changes))


FINDING = Finding(
    name="σ at its bound",
    severity=SERIOUS,
    sentence="It has shrunk.",
    number=1e-3,
    threshold=2e-3,
    unit="standard deviation of a pixel",
    remedy="--set model.likelihood=bernoulli",
    source="a paper",
)


def test_results_survive_the_disk(tmp_path):
    arrays = {"latent_mean": np.arange(6, dtype=np.float32).reshape(3, 2), "labels": np.array([1, 2, 3])}
    Results((score(), score(split="train")), arrays, {"recipe": "dense"}).write(tmp_path)
    read = read_results(tmp_path)
    assert read.scores == (score(), score(split="train"))
    assert read.score("elbo", "train") == score(split="train")
    assert read.score("elbo", "validation") is None
    assert read.context == {"recipe": "dense"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array)


def test_a_notebook_shows_every_score_with_its_error_and_every_finding():
    results = Results((score(), score(name="rate", value=2.0)), {}, {}, (), (FINDING,), {"samples": "no prior"})
    shown = results._repr_html_()
    for words in ("elbo", "−1.50 ± 0.10", "rate", "2.00 ± 0.10", "grey", FINDING.remedy, "no prior"):
        assert words in shown
    assert repr(results.scores[0]) == "Score(elbo −1.50 ± 0.10 nats, test, grey)"
    assert "−1.50 ± 0.10 nats" in results.scores[0]._repr_html_()


def test_the_error_of_a_single_example_is_absent_not_a_number(tmp_path):
    Results((score(standard_error=math.nan),), {}, {}).write(tmp_path)
    assert "NaN" not in (tmp_path / "results.json").read_text()
    assert read_results(tmp_path).scores[0].standard_error is None


def test_checks_are_the_same_after_a_round_trip(tmp_path):
    checks = (
        Checked(name="a", passes="b", number=1.0, standard_error=0.5, threshold=2.0, unit="nats", finding=FINDING),
        Checked(name="c", passes="d", reason="e"),
    )
    Results((), {}, {}, checks=checks).write(tmp_path)
    assert read_results(tmp_path).checks == checks


@pytest.mark.parametrize("findings", [None, (), (FINDING, replace(FINDING, name="another"))])
def test_no_findings_and_no_diagnosis_are_told_apart_after_a_round_trip(tmp_path, findings):
    Results((), {}, {}, findings=findings).write(tmp_path)
    assert read_results(tmp_path).findings == findings


def test_history_survives_the_disk(tmp_path):
    history = record(5, ends_epoch=True), record(10, ends_epoch=True)
    Results((), {}, {}, history=history).write(tmp_path)
    assert read_results(tmp_path).history == history


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"recipe": 3}, "results.context.recipe: input should be a valid string, got 3"),
        ({"data": {}}, "results.context.data.name: is missing; and 13 more"),
        ({"seeds": 1}, "results.context.seeds: is not a known key"),
        ({"config": {"model": {"latent_dim": 0}}}, r"model.latent_dim needs at least 1, got 0"),
    ],
)
def test_results_with_a_valid_checksum_and_another_key_or_type_are_refused(tmp_path, context, problem):
    Results((), {}, context).write(tmp_path)
    for read in (read_results, read_scores):
        with pytest.raises(RunError, match=rf"results\.safetensors is damaged \({problem}\); restore it\.$"):
            read(tmp_path)


def test_damaged_results_are_refused(tmp_path):
    Results((score(),), {}, {}).write(tmp_path)
    (tmp_path / "results.json").write_text("{")
    for read in (read_results, read_scores):
        with pytest.raises(RunError, match=r"results\.json is not valid JSON"):
            read(tmp_path)
    (tmp_path / "results.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="install a newer lowerbound"):
        read_results(tmp_path)


def test_results_json_that_says_something_else_is_refused(tmp_path):
    Results((score(),), {}, {}).write(tmp_path)
    path = tmp_path / "results.json"
    path.write_text(path.read_text().replace("-1.5", "-1.4"))
    for read in (read_results, read_scores):
        with pytest.raises(RunError, match=r"results\.json is damaged, was edited, or belongs to other results"):
            read(tmp_path)


def test_results_json_of_another_run_is_refused(tmp_path):
    for name, value in (("a", -1.0), ("b", -2.0)):
        Results((score(value=value),), {}, {}).write(tmp_path / name)
    (tmp_path / "a" / "results.json").write_bytes((tmp_path / "b" / "results.json").read_bytes())
    with pytest.raises(RunError, match="belongs to other results"):
        read_results(tmp_path / "a")


@pytest.mark.parametrize("num_before", [0, 1])
def test_a_writer_killed_between_its_two_files_leaves_the_new_results_complete(tmp_path, monkeypatch, num_before):
    for value in range(num_before):
        Results((score(value=float(value)),), {"x": np.array([value])}, {}).write(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(results, "write_json", lambda path, value: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Results((score(value=7.0),), {"x": np.array([7])}, {}).write(tmp_path)
    read = read_results(tmp_path)
    assert (read.scores[0].value, read.arrays["x"].tolist()) == (7.0, [7])
    assert read_scores(tmp_path).scores == read.scores
    # The next writing puts the copy in order again.
    read.write(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["scores"][0]["value"] == 7.0
    assert read_results(tmp_path).scores == read.scores
