"""Grids: what their points are, and what is refused before anything is trained."""

import json
import shutil

import numpy as np
import pytest

from lowerbound.foundation.errors import ConfigError, RunError, UnknownName, UsageError
from lowerbound.runs.experiment import resolve
from lowerbound.runs.grid import check_extends, grid_of, read_grid
from lowerbound.training.config import TrainingConfig

BETA, LATENTS, PRESET = "objective.rate_weight", "model.latent_dim", "objective.preset"


def grid(over, base="dense", settings=None, seeds=1):
    return grid_of(base, settings or {}, over, seeds)


def test_points_are_all_combinations_of_which_each_is_the_experiment_with_these_settings():
    points = grid({BETA: [0.1, 1], LATENTS: (2, 8)}, settings={"training": {"num_epochs": 3}}).points()
    assert [point.label for point in points] == [
        "rate_weight=0.1, latent_dim=2", "rate_weight=0.1, latent_dim=8",
        "rate_weight=1, latent_dim=2", "rate_weight=1, latent_dim=8",
    ]  # fmt: skip
    given = {"training": {"num_epochs": 3}, "objective": {"rate_weight": 0.1}, "model": {"latent_dim": 8}}
    assert points[1].experiment == resolve("dense", given)
    assert points[1].folder == "rate_weight-0.1,latent_dim-8"


def test_names_are_values_like_numbers_and_presets_bring_all_of_their_settings():
    points = grid({PRESET: ["vae", "factor-vae"], "model.posterior": ["diagonal-normal", "full-normal"]}).points()
    assert points[3].experiment.objective.penalties == {"factor": 35.0}
    assert points[3].experiment.model.posterior == "full-normal"
    assert points[3].folder == "preset-factor-vae,posterior-full-normal"


def test_numpy_values_are_numbers_and_an_experiment_can_be_the_base():
    base = resolve("conv", {"training": {"num_epochs": 2}})
    points = grid({BETA: np.array([0.5, 1.0])}, base=base).points()
    assert [point.values[BETA] for point in points] == [0.5, 1.0]
    assert points[1].experiment == base


def test_a_whole_section_is_kept_as_it_is_given():
    settings = {"training": TrainingConfig(num_epochs=7)}
    for point in grid({BETA: [1, 2]}, settings=settings).points():
        assert point.experiment.training == TrainingConfig(num_epochs=7)


def test_folders_differ_whatever_the_values_are_called(tmp_path):
    names = ["a b", "a/b", "A-b", "x" * 200 + "1", "x" * 200 + "2", "../up"]
    folders = [point.folder for point in grid({"data.source": names}).points()]
    assert len({folder.lower() for folder in folders}) == len(names)
    assert all(not set("/= ") & set(folder) and len(folder) < 120 for folder in folders)
    # Whatever other values there are.
    assert {point.values["data.source"]: point.folder for point in grid({"data.source": names[:2]}).points()} == dict(
        zip(names[:2], folders[:2], strict=True)
    )


@pytest.mark.parametrize(
    ("over", "options", "reason"),
    [
        ({}, {}, "needs a key with several values"),
        ({BETA: [1]}, {}, "has the single value 1"),
        ({BETA: [1, 2, 1]}, {}, "the value 1 twice"),
        ({BETA: "0.1"}, {}, "give a list of values"),
        ({BETA: [1, object()]}, {}, "a value that no setting accepts"),
        ({BETA: [1, float("nan")]}, {}, "only finite numbers"),
        ({"rate_weight": [1, 2]}, {}, "is not the key of a setting"),
        ({BETA: [1, -1]}, {}, "rate_weight=-1: .*at least 0, got -1"),
        ({BETA: [1, "x"]}, {}, "rate_weight=x: objective.rate_weight: input should be a valid number"),
        ({"objective.rate_wieght": [1, 2]}, {}, "did you mean 'objective.rate_weight'"),
        ({PRESET: ["vae", "wae-mmd"]}, {}, "preset=wae-mmd: .*point-mass"),
        ({"objective.rate": ["auto", "analytic"]}, {}, "rate=auto and rate=analytic give the same experiment"),
        ({PRESET: ["vae", "beta-vae"]}, {"base": resolve("dense")}, "give the same experiment"),
        ({BETA: [1, 2]}, {"settings": {"objective": {"rate_weight": 3}}}, "and set to a single value, too"),
        ({BETA: [1, 2]}, {"settings": {"training": {"num_epoch": 3}}}, r"^unknown key 'training.num_epoch'"),
        ({"training.seed": [1, 2]}, {"seeds": 2}, "training.seed is swept"),
        ({BETA: list(range(200)), LATENTS: list(range(1, 101))}, {}, "20,000 runs"),
        ({BETA: [1, 2]}, {"base": "nosuch"}, "unknown recipe"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(over, options, reason):
    with pytest.raises((ConfigError, UnknownName), match=reason) as caught:
        grid(over, **options).points()
    assert "\n" not in str(caught.value)


def test_a_stored_grid_is_read_back_and_a_changed_one_is_refused(tmp_path):
    made = grid({BETA: [0.1, 1]}, settings={"model": {"hidden": [4, 4]}}, seeds=2)
    made.write(tmp_path, "lowerbound sweep")
    assert read_grid(tmp_path) == made
    assert [one.experiment for one in read_grid(tmp_path).points()] == [one.experiment for one in made.points()]
    stored = json.loads((tmp_path / "grid.json").read_text())
    (tmp_path / "grid.json").write_text(json.dumps(stored | {"num_seeds": 3}))
    with pytest.raises(RunError, match="damaged or was edited"):
        read_grid(tmp_path)
    (tmp_path / "grid.json").write_text(json.dumps(stored | {"num_seeds": "3"}))
    with pytest.raises(RunError, match="damaged"):
        read_grid(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(UsageError, match="not the folder of a sweep"):
        read_grid(tmp_path)


def test_a_grid_goes_on_with_more_values_or_seeds_and_not_with_others(tmp_path):
    before = grid({BETA: [0.1, 1]}, seeds=2)
    for more in (before, grid({BETA: [0.01, 0.1, 1]}, seeds=2), grid({BETA: [0.1, 1]}, seeds=3)):
        check_extends(more, before, tmp_path)
    others = {
        "rate_weight=1, too": grid({BETA: [0.1, 2]}, seeds=2),
        "2 seeds, not 1": grid({BETA: [0.1, 1]}),
        "recipe dense, not conv": grid({BETA: [0.1, 1]}, base="conv", seeds=2),
        "model.latent_dim unset, not 3": grid({BETA: [0.1, 1]}, settings={"model": {"latent_dim": 3}}, seeds=2),
        'keys ."objective.rate_weight"., not': grid({BETA: [0.1, 1], LATENTS: [2, 3]}, seeds=2),
    }
    for reason, other in others.items():
        with pytest.raises(ConfigError, match=reason):
            check_extends(other, before, tmp_path)
