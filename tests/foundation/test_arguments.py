"""Misspelt names of arguments of the public classes are refused in one line, with the nearest name."""

import pickle
from dataclasses import dataclass, replace
from inspect import isclass, signature

import pytest

import lowerbound as lb
from lowerbound.estimator import VAE as Estimator
from lowerbound.foundation.arguments import keywords_of
from lowerbound.foundation.errors import UnknownName

CLASSES = [one for one in (getattr(lb, name) for name in lb.__all__) if isclass(one)]


@pytest.mark.parametrize("kind", [*CLASSES, Estimator])
def test_every_public_class_names_the_nearest_argument(kind):
    last = [*signature(kind).parameters][-1]
    with pytest.raises(UnknownName, match=rf"unknown argument of {kind.__name__} '{last}z'; did you mean '{last}'\?"):
        kind(**{f"{last}z": 1})


def test_a_configuration_is_changed_by_its_own_names_only():
    with pytest.raises(UnknownName, match=r"argument of ModelConfig 'latent_dims'; did you mean 'latent_dim'\?"):
        replace(lb.ModelConfig(), latent_dims=2)
    assert replace(lb.ModelConfig(), latent_dim=3).latent_dim == 3
    assert pickle.loads(pickle.dumps(lb.ModelConfig(latent_dim=3))) == lb.ModelConfig(latent_dim=3)


def test_a_subclass_may_have_further_arguments():
    @dataclass(frozen=True, kw_only=True)
    class Further(lb.ModelConfig):
        colour: str = ""

    assert Further(latent_dim=3, colour="blue").latent_dim == 3


def test_a_function_of_any_keywords_has_no_list_of_them():
    assert keywords_of(lambda a, /, b, *, c: 0) == ["b", "c"]
    assert keywords_of(lambda a, **further: 0) is None


def test_methods_of_a_model_and_a_run_name_the_nearest_argument():
    for method, misspelt in (
        (lb.TrainedModel.generate, "nums"),
        (lb.Run.splits, "data_dirs"),
        (lb.Results.score, "nam"),
    ):
        with pytest.raises(UnknownName, match=rf"unknown argument of {method.__qualname__} '{misspelt}'; did you mean"):
            method(None, **{misspelt: 1})
    assert [*signature(lb.TrainedModel.generate).parameters] == ["self", "num", "seed", "temperature", "given"]
