"""A run on data with known factors: trained, moved, evaluated, reported and compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lowerbound.cli import app
from lowerbound.data.sprites import factors_of, sprites
from lowerbound.evaluation.disentanglement import ABOUT
from lowerbound.foundation.errors import UsageError
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import train
from lowerbound.runs.run_data import own_splits

CHOSEN = np.arange(0, 737_280, 1_801)
QUICK = {
    "training": {"num_epochs": 1, "min_steps": 0},
    "evaluation": {
        "num_draws": 1, "num_bounded": 2, "importance_draws": 2, "num_gaps": 2,
        "disentanglement": {"num_train": 100, "num_train_votes": 50, "num_test_votes": 50},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factors")
    np.save(folder / "x.npy", sprites(CHOSEN, 32))
    factors = factors_of(CHOSEN)
    rows = [",".join(factors.names), *(",".join(map(str, codes)) for codes in factors.codes.tolist())]
    (folder / "factors.csv").write_text("\n".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = {**QUICK, "data": {"factors": ["factors.csv"]}}
        path = train("x.npy", recipe="dense", latent_dim=4, settings=settings, out=folder / "run").path
    return path


def test_the_factors_are_found_again_from_another_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = own_splits(run).test
    assert np.array_equal(np.squeeze(test.values, -1), sprites(_indices(test.factors), 32))


def _indices(factors):
    from lowerbound.data.sprites import index_of

    levels = [np.array(levels, int)[codes] for levels, codes in zip(factors.levels, factors.codes.T, strict=True)]
    return index_of(np.stack(levels, axis=1))


def test_an_evaluation_adds_scores_and_a_figure_to_the_report_and_to_comparisons(run):
    results = reevaluate(run).results
    assert [score.name for score in results.scores if score.name in ABOUT] == [*ABOUT]
    assert results.context["data"]["factor_names"] == ["shape", "scale", "orientation", "x", "y"]
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "Mutual information gap (MIG)" in report and "Information about known factors" in report
    assert (run / "figures" / "factor_information.png").is_file()
    assert str(run.parent) not in report
    other = shutil.copytree(run, run.parent / "other")
    compared = CliRunner().invoke(app, ["compare", str(run), str(other), "--json"])
    assert compared.exit_code == 0 and "factor-vae-score" in compared.output
    written = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert {"mig", "sap"} <= {score["name"] for score in written["scores"]}


def test_factors_of_a_path_are_a_setting(tmp_path: Path):
    with pytest.raises(UsageError, match=r"factors are for data in memory; for a file or folder set data.factors"):
        train("digits", factors={"a": [1]}, out=tmp_path / "run")
