"""Misspelt names of arguments of the public functions are refused in one line, with the nearest name."""

import pickle
from inspect import isfunction, signature

import pytest

import lowerbound as lb
from lowerbound.foundation.errors import UnknownName, UsageError

FUNCTIONS = [name for name in lb.__all__ if isfunction(getattr(lb, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_names_the_nearest_argument(name):
    function = getattr(lb, name)
    keywords = [key for key, one in signature(function).parameters.items() if one.kind.name != "POSITIONAL_ONLY"]
    misspelt = f"{keywords[-1]}z"
    with pytest.raises(UnknownName, match=f"unknown argument of {name} '{misspelt}'; did you mean '{keywords[-1]}'?"):
        function(**{misspelt: 1})


@pytest.mark.parametrize(
    ("keyword", "says"),
    [
        (
            "num_epochs",
            r"the setting training\.num_epochs: pass settings=\{'training': \{'num_epochs': \.\.\.\}\}, or epochs=",
        ),
        ("hidden", r"the setting model\.hidden: pass settings=\{'model': \{'hidden': \.\.\.\}\}"),
    ],
)
@pytest.mark.parametrize("name", ["train", "sweep"])
def test_the_name_of_a_setting_is_told_where_it_belongs(name, keyword, says):
    with pytest.raises(UsageError, match=says):
        getattr(lb, name)(**{keyword: 3})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_one_object_that_processes_can_pass_on(name):
    function = getattr(lb, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert function.__doc__ and function.__name__


def test_a_function_that_was_replaced_in_its_module_is_the_one_that_is_called(monkeypatch):
    monkeypatch.setattr("lowerbound.runs.trained_model.load", lambda run: f"loaded {run}")
    assert lb.load("a") == "loaded a"
