"""Scores of new examples, as a caller of the library and an output file have them."""

import csv
import json

import numpy as np
import pytest

from lowerbound.foundation.errors import UsageError
from lowerbound.inference import anomaly, shards
from lowerbound.inference.anomaly import shards_as_json
from lowerbound.inference.scored import as_json
from lowerbound.runs.inputs import InputOptions
from untrained_models import untrained_run

TABLE = {"x": np.round(np.random.default_rng(0).normal(size=240), 3).tolist(), "kind": ["a", "b", "c"] * 80}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("anomaly") / "run"
    untrained_run(path, TABLE)
    return path


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("x,kind\n0.5,a\nfar,b\n900,c\n,\n")
    return path


def scored(run, rows, **options):
    chosen = InputOptions(skip_broken=True)
    return anomaly.score(run, [str(rows)], false_alarm_rate=0.2, options=chosen, **options)


def test_what_cannot_be_read_or_scored_is_named_and_never_an_anomaly(run, rows):
    found = scored(run, rows)
    assert len(found.skipped) == 1 and "far" in found.skipped[0]
    negative_elbo = found.scores["negative-elbo"]
    assert found.ids == ("0", "1", "2", "3")
    assert np.isnan(negative_elbo).tolist() == [False, True, False, True] and found.num_unscored == 2
    assert not found.is_anomalous[np.isnan(negative_elbo)].any()
    assert found.is_anomalous[np.nanargmax(negative_elbo)]


def test_a_file_and_json_hold_what_was_found_with_empty_cells_for_what_is_unknown(run, rows, tmp_path):
    found = scored(run, rows, out=tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["id"] for row in written] == list(found.ids)
    assert [row["anomalous"] for row in written] == ["0", "", "1", ""]
    assert [row["negative-elbo"] == "" for row in written] == [False, True, False, True]
    content = json.loads(json.dumps(as_json(found)))
    assert (content["by"], content["false_alarm_rate"], content["num_unscored"]) == (
        found.judged.by,
        found.judged.threshold.rate,
        2,
    )
    assert content["skipped"] == list(found.skipped)
    assert [example["anomalous"] for example in content["examples"]] == [0, None, 1, None]
    assert content["thresholds"].keys() == found.judged.thresholds.keys()


def test_a_folder_of_scores_explains_the_same_examples_in_the_same_way(run, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 2)
    whole, chosen = scored(run, rows, num_explained=1), InputOptions(skip_broken=True)
    settings = {"false_alarm_rate": 0.2, "options": chosen, "num_explained": 1}
    for _ in range(2):  # the second time, nothing is computed
        written = anomaly.score_shards(run, [str(rows)], tmp_path / "out", **settings)
        assert list(shards_as_json(written)["explained"]) == as_json(whole)["explained"]
    assert written.notes == whole.notes and written.explained[0]["id"] == "2"


def test_an_output_that_is_the_input_is_refused_before_anything_is_computed(run, rows, monkeypatch):
    monkeypatch.setattr(anomaly, "load", lambda path: pytest.fail("it has begun"))
    before = rows.read_bytes()
    with pytest.raises(UsageError):
        anomaly.score(run, [str(rows)], out=rows)
    assert rows.read_bytes() == before
