import json
import math
from dataclasses import replace

import numpy as np
import pytest

from lowerbound.errors import RunError
from lowerbound.evaluation.results import SERIOUS, Finding, Results, Score, read_results


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
    knob="--set model.likelihood=bernoulli",
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


def test_the_error_of_a_single_example_is_absent_not_a_number(tmp_path):
    Results((score(standard_error=math.nan),), {}, {}).write(tmp_path)
    assert "NaN" not in (tmp_path / "results.json").read_text()
    assert read_results(tmp_path).scores[0].standard_error is None


@pytest.mark.parametrize("findings", [None, (), (FINDING, replace(FINDING, name="another"))])
def test_a_clean_bill_survives_the_disk_as_such_and_so_does_a_doctor_who_was_not_asked(tmp_path, findings):
    Results((), {}, {}, findings=findings).write(tmp_path)
    assert read_results(tmp_path).findings == findings


def test_older_results_say_that_the_doctor_was_not_asked(tmp_path):
    Results((), {}, {}, findings=(FINDING,)).write(tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    del content["findings"]
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert read_results(tmp_path).findings is None


def test_history_holds_the_epochs_and_passes_over_steps(tmp_path):
    Results((), {}, {}).write(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "validation": null}\n{"step": 2, "validation": {"elbo": -1}}\n{"st'
    )
    assert [record["step"] for record in read_results(tmp_path).history] == [2]


def test_damaged_results_are_refused(tmp_path):
    Results((score(),), {}, {}).write(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(RunError, match=r"results\.json is not valid JSON"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="install a newer lowerbound"):
        read_results(tmp_path)
