"""One tree of errors, each with an exit status and a message of one line."""

import inspect
import pickle
import re

import pytest

from lowerbound.foundation import errors
from lowerbound.foundation.errors import (
    ConfigError,
    DataError,
    Interrupted,
    LowerboundError,
    NonFiniteLoss,
    RunError,
    UnknownName,
    UsageError,
)

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value.__module__ == errors.__name__
}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LowerboundError, 1),
        (UsageError, 2),
        (ConfigError, 2),
        (UnknownName, 2),
        (DataError, 1),
        (RunError, 1),
        (NonFiniteLoss, 1),
        (Interrupted, 130),
    ],
)
def test_a_wrong_request_exits_with_2_and_a_failure_with_1_and_a_stop_with_130(error, status):
    assert error.exit_status == status


def test_every_error_can_be_caught_as_one():
    assert all(issubclass(error, LowerboundError) for error in CLASSES.values())


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    drawn = re.findall(r"^(.*?)(\w+) {2,}", errors.__doc__, re.MULTILINE)
    depth = {name: len(branches) // 4 for branches, name in drawn}
    assert depth == {name: len(error.__mro__) - len(LowerboundError.__mro__) for name, error in CLASSES.items()}


def test_an_unknown_name_carries_the_nearest_valid_one():
    error = UnknownName("recipe", "dens", ["tutorial-dense", "dense", "conv"])
    assert error.nearest == "dense"
    assert str(error) == ("unknown recipe 'dens'; did you mean 'dense'? accepted: conv, dense, tutorial-dense.")


def test_a_name_that_is_like_no_other_gets_the_list_alone():
    error = UnknownName("recipe", "zzz", ("dense", "conv"))
    assert error.nearest is None
    assert str(error) == "unknown recipe 'zzz'; accepted: conv, dense."


def test_where_no_name_is_valid_the_message_says_that_there_is_none():
    assert str(UnknownName("option", "sigma", [])) == "unknown option 'sigma'; none is accepted."


def test_an_unknown_name_comes_whole_out_of_another_process():
    error = UnknownName("recipe", "dens", ["tutorial-dense", "dense", "conv"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.nearest, type(again)) == (str(error), "dense", UnknownName)
