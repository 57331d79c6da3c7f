"""The tests' own check of types and shapes."""

from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from checked_calls import MOST_ITEMS, jaxtyped
from lowerbound.foundation.numerics import log_mean_exp

pytest.importorskip("beartype")
from beartype import beartype

checked = jaxtyped(typechecker=beartype)


@checked
def product(x: Float[Tensor, "a b"], y: Float[Tensor, " b"]) -> Float[Tensor, " a"]:
    return x @ y


def test_the_package_is_checked():
    for _ in range(3):
        with pytest.raises(TypeCheckError):
            log_mean_exp("not a tensor", dim=0)


def test_a_function_is_checked_for_each_shape_and_each_type():
    for _ in range(3):
        assert product(torch.ones(2, 3), torch.ones(3)).tolist() == [3.0, 3.0]
        for wrong in (torch.ones(2), torch.ones(3, 1), torch.ones(3, dtype=torch.int64), "text", None):
            with pytest.raises(TypeCheckError):
                product(torch.ones(2, 3), wrong)
    product(torch.ones(1, 2), y=torch.ones(2))


def test_a_result_of_another_kind_is_checked_though_the_arguments_are_known():
    results = [torch.zeros(2), torch.zeros(2), torch.zeros(3), torch.zeros(2), None]

    @checked
    def next_result(x: Float[Tensor, " a"]) -> Float[Tensor, " a"]:
        return results.pop(0)

    next_result(torch.zeros(2))
    next_result(torch.zeros(2))
    with pytest.raises(TypeCheckError):
        next_result(torch.zeros(2))
    next_result(torch.zeros(2))
    with pytest.raises(TypeCheckError):
        next_result(torch.zeros(2))
    assert results == []


def test_literals_items_and_fields_are_checked():
    @checked
    def named(name: Literal["a", "b"], numbers: list[int]) -> dict[str, Float[Tensor, ""]]:
        return dict.fromkeys(name, torch.tensor(float(len(numbers))))

    @checked
    @dataclass
    class Row:
        x: Float[Tensor, " a"]
        y: Float[Tensor, " a"]

    named("a", [1, 2])
    named("b", [1] * (MOST_ITEMS + 1))
    Row(torch.ones(2), torch.ones(2))
    for call in (
        lambda: named("c", [1, 2]),
        lambda: named("a", ["1", "2"]),
        lambda: named("b", ["1"] * (MOST_ITEMS + 1)),
        lambda: Row(torch.ones(2), torch.ones(3)),
    ):
        with pytest.raises(TypeCheckError):
            call()


def test_functions_without_arrays_are_left_alone():
    def plain(x: int, names: tuple[str, ...]) -> dict[str, int]:
        return dict.fromkeys(names, x)

    def within(x: int) -> dict[str, tuple[Float[Tensor, " a"] | None, int]]:
        return {"a": (torch.ones(x), x)}

    assert checked(plain) is plain
    assert checked(within) is not within


def test_functions_within_functions_share_what_they_were_checked_for_and_keep_their_own_variables():
    def adds(amount):
        @checked
        def add(x: Float[Tensor, " a"]) -> Float[Tensor, " a"]:
            return x + amount

        return add

    assert [adds(amount)(torch.zeros(1)).item() for amount in (1, 2, 3)] == [1, 2, 3]
    with pytest.raises(TypeCheckError):
        adds(4)("text")
