"""What a run records of itself, and where it records places."""

import numpy as np

import lowerbound as lb
from lowerbound.foundation.text_files import read_toml

SHORT = {
    "training": {"num_epochs": 1, "min_steps": 0},
    "evaluation": {"num_draws": 2, "num_exact": 2, "importance_draws": 4, "num_bounded": 2, "num_gaps": 2},
    "model": {"hidden": [4], "latent_dim": 3},
}


def test_config_alone_holds_the_absolute_path(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 5)))
    lb.train(
        str(tmp_path / "x.npy"), out=tmp_path / "run", settings=SHORT, command=f"lowerbound train {tmp_path}/x.npy"
    )
    assert read_toml(tmp_path / "run" / "config.toml")["run"]["data_path"] == str(tmp_path / "x.npy")
    for name in ("results.json", "report.html", "metrics.jsonl"):
        assert str(tmp_path) not in (tmp_path / "run" / name).read_text()
