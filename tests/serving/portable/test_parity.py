"""The check of an exported part against its model tells rounding from error."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from lowerbound.foundation.errors import DataError, RunError
from lowerbound.runs.trained_model import load
from lowerbound.serving.portable import parity
from lowerbound.serving.portable.parity import (
    ComparisonInputs,
    check_parity,
    comparison_inputs_of,
    deviation,
)
from lowerbound.serving.portable.parts import PARTS
from portable_models import Moved, inputs_of, small_model, written_run


def test_a_deviation_is_relative_above_one_and_absolute_below():
    expected = torch.tensor([0.5, 100.0])
    assert deviation(expected + torch.tensor([1e-3, 0.0]), expected) == pytest.approx(1e-3, rel=1e-3)
    assert deviation(expected + torch.tensor([0.0, 1e-1]), expected) == pytest.approx(1e-3, rel=1e-3)
    assert deviation(torch.tensor([torch.nan]), torch.tensor([torch.nan])) == 0
    assert deviation(torch.tensor([torch.nan]), torch.tensor([1.0])) == torch.inf
    assert deviation(torch.zeros(2), torch.zeros(3)) == torch.inf


def test_what_deviates_is_refused_unless_pytorch_itself_rounds_as_much():
    model = small_model("bernoulli")
    part, exact = PARTS["decoder"](model), PARTS["decoder"](deepcopy(model).double())
    trial = ComparisonInputs(inputs_of(model, 5), "five examples")
    near, far = (replace(part, module=Moved(part.module, by)) for by in (2e-6, 1e-4))
    assert check_parity(near, part, exact, trial).deviation == pytest.approx(2e-6, rel=0.2)
    with pytest.raises(RunError, match="the exported decoder differs from the model"):
        check_parity(far, part, exact, trial)
    # Where single precision is 1e-4 from double, it is no fault to be where double is.
    moved = replace(exact, module=Moved(exact.module, 1e-4))
    assert check_parity(far, part, moved, trial).rounding == pytest.approx(1e-4, rel=0.1)


def test_where_the_data_cannot_be_read_the_model_draws_what_it_is_compared_on(tmp_path, monkeypatch):
    def absent(*_, **__):
        raise DataError("the digits are gone.")

    run = written_run(tmp_path / "run")
    monkeypatch.setattr(parity, "own_splits", absent)
    trial = comparison_inputs_of(run, load(run).vae)
    assert trial.about == "64 examples drawn from the model"
    assert trial.note == "no test examples of the run: the digits are gone."
    assert trial.inputs["x"].unique().tolist() == [0, 1]
