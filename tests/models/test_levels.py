"""Models with several levels are built, saved and loaded, and one level is the model without levels."""

import pytest
import torch
from torch.testing import assert_close

import lowerbound as lb
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.families import Families
from lowerbound.objectives.objective import Objective
from lowerbound.training.checkpoint import load_model, save_model

HIERARCHIES = ("bottom-up", "ladder", "residual")


def built(**settings):
    config = ModelConfig(**{"hidden": (8,), "levels": (3, 2), "level_hidden": (7,), **settings})
    return build_model(config, (1, 8, 8), generator(0, "model"))


def test_one_level_is_the_model_without_levels_to_the_bit():
    splits = lb.load_data(lb.DataConfig(source="digits"))
    config = lb.TrainingConfig(num_epochs=1, min_steps=0)
    models = [built(levels=(3,)), built(levels=(), latent_dim=3)]
    records = []
    for model in models:
        seen = []
        lb.fit(model, splits, config=config, progress=seen.append)
        records.append([(record.train, record.validation) for record in seen])
    assert records[0] == records[1]
    first, second = (model.state_dict() for model in models)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_number_of_latents_is_the_sum_over_levels():
    assert ModelConfig(levels=(5, 4)).latent_dim == ModelConfig(levels=(5, 4), latent_dim=9).latent_dim == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 7}, r"model.latent_dim is 7, but model.levels \[3, 2\] add up to 5"),
        ({"prior": "flow"}, "model.prior is 'flow'"),
        ({"posterior": "iaf"}, "model.posterior is 'iaf'"),
        ({"network": "own"}, "latents are a vector"),
        ({"levels": (3, 0)}, "model.levels needs at least 1"),
    ],
)
def test_what_levels_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ConfigError, match=message) as refused:
        ModelConfig(**{"levels": (3, 2), **settings})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("network", ["dense", "conv", "resnet"])
def test_every_network_has_every_hierarchy_and_all_weights_are_trained(hierarchy, network):
    model = built(hierarchy=hierarchy, network=network, channels=(4,), levels=(3, 2, 2))
    x = torch.rand(4, 1, 8, 8, generator=generator(0, "x"))
    Objective()(model.sample_posterior(x, generator(0, "noise"))).value.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.level_names == ("level 1", "level 2", "level 3")


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_saved_model_is_the_same_when_it_is_loaded(hierarchy, tmp_path):
    model = built(hierarchy=hierarchy).eval()
    save_model(tmp_path / "model.safetensors", model, None, {})
    other = load_model(tmp_path / "model.safetensors")
    x = torch.rand(4, 1, 8, 8, generator=generator(0, "x"))
    draws = [one.sample_posterior(x, generator(0, "noise"), 2).log_weight for one in (model, other)]
    assert torch.equal(*draws)
    assert other.config == model.config


def test_what_is_known_before_there_is_an_example_is_what_the_model_has():
    for hierarchy in HIERARCHIES:
        model = built(hierarchy=hierarchy)
        of_config, of_model = Families.of_config(model.config), Families.of_model(model)
        assert of_config.has_closed_form_kl == of_model.has_closed_form_kl == (hierarchy != "bottom-up")
        assert (
            of_config.in_words
            == of_model.in_words
            == f"posterior 'diagonal-normal by {hierarchy}' and prior 'standard-normal'"
        )


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_conditional_model_has_levels(hierarchy):
    config = ModelConfig(hidden=(8,), levels=(3, 2), hierarchy=hierarchy, condition_on=("label",))
    label = Column(name="label", kind="categorical", levels=("a", "b"))
    model = build_model(config, (1, 8, 8), generator(0, "model"), conditions=[label])
    x = torch.rand(2, 1, 8, 8, generator=generator(0, "x"))
    weights = [
        model.given(torch.tensor(labels)[:, None].float()).sample_posterior(x, generator(0, "noise")).log_weight
        for labels in ([0, 0], [1, 0])
    ]
    assert_close(weights[0][:, 1], weights[1][:, 1])
    assert not torch.allclose(weights[0][:, 0], weights[1][:, 0])
