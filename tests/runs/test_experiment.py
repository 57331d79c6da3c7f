import pytest

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.runs.experiment import Experiment, from_settings, merge, recipe_descriptions, resolve


@pytest.mark.parametrize("name", recipe_descriptions())
def test_every_recipe_is_valid_and_described_in_one_line(name):
    assert resolve(name).recipe == name
    assert "\n" not in recipe_descriptions()[name]


def test_settings_are_laid_over_the_recipe_and_the_recipe_over_the_defaults():
    experiment = resolve("conv", {"training": {"seed": 7}, "model": {"latent_dim": 5}})
    assert (experiment.training.seed, experiment.model.latent_dim) == (7, 5)  # given
    assert experiment.model.channels == (32, 64)  # the recipe's
    assert experiment.training.adam_beta1 == 0.9  # the default


def test_resolved_settings_make_the_same_experiment_again():
    experiment = resolve("tutorial-dense")
    assert from_settings("tutorial-dense", experiment.settings()) == experiment


def test_the_tutorial_recipes_follow_the_texts():
    for name in ("tutorial-conv", "tutorial-dense"):
        experiment = resolve(name)
        training = experiment.training
        assert (training.batch_size, training.learning_rate, training.adam_epsilon) == (32, 1e-3, 1e-7)
        assert (training.num_epochs, training.patience, training.validation_draws) == (30, 2, 1)
        assert (experiment.data.source, experiment.data.validation) == ("mnist", "test")
    sigma = resolve("tutorial-dense").model.likelihood_options["sigma"]
    assert 1 / (2 * sigma**2) == pytest.approx(1.0)  # the tutorial's C


def test_a_recipe_can_be_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text('[objective]\npreset = "beta-vae"\nnum_samples = 3\n')
    experiment = resolve(str(tmp_path / "mine.toml"))
    assert experiment.recipe == "mine"
    assert experiment.objective.rate_weight == OBJECTIVES["beta-vae"].rate_weight
    assert experiment.objective.num_samples == 3


def test_tables_are_merged_key_by_key():
    assert merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}}) == {"a": {"x": 1, "y": 4}, "b": 3}


@pytest.mark.parametrize(
    ("settings", "nearest"),
    [
        ({"trainin": {}}, "training"),
        ({"training": {"num_epoch": 3}}, "training.num_epochs"),
        ({"model": {"network": "covn"}}, "conv"),
        ({"model": {"likelihood": "bernouli"}}, "bernoulli"),
        ({"model": {"likelihood": "gaussian", "likelihood_options": {"sigm": 1.0}}}, "sigma"),
        ({"training": {"schedule": "onecycle"}}, "one-cycle"),
        ({"objective": {"preset": "beta-vea"}}, "beta-vae"),
        ({"objective": {"rate": "analytical"}}, "analytic"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_valid_one(settings, nearest):
    with pytest.raises(UnknownName) as caught:
        from_settings("x", settings)
    assert caught.value.nearest == nearest
    assert repr(nearest) in str(caught.value)


def test_all_wrong_values_are_named_at_once_with_their_paths():
    with pytest.raises(ConfigError, match=r"training\.num_epochs.*training\.batch_size"):
        from_settings("x", {"training": {"num_epochs": "many", "batch_size": "few"}})


def test_a_misspelt_recipe_gets_the_nearest_valid_one():
    with pytest.raises(UnknownName, match="did you mean 'conv'"):
        resolve("convv")


def test_a_posterior_without_density_needs_the_objective_without_rate():
    with pytest.raises(ConfigError, match="point mass"):
        Experiment(model=resolve("autoencoder").model, objective=Objective(rate="analytic"))


def test_a_model_that_no_memory_holds_is_refused_in_one_line():
    for settings in ({"hidden": [999_999_999]}, {"latent_dim": 999_999_999}):
        config = resolve("dense", {"model": settings}).model
        with pytest.raises(ConfigError, match=r"weights of [\d,]+ GiB, more than .*; lower model\.hidden"):
            build_model(config, (1, 28, 28), generator(0, "weights"))
