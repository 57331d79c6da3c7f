"""Modules traced for any batch size, and translated to ONNX: standard operators only, no random operators."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

import jaxtyping
import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from lowerbound.foundation.errors import LowerboundError, RunError, UsageError
from lowerbound.networks.kernels import choose_kernels
from lowerbound.networks.onnx_operators import DECOMPOSITIONS

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Version of ONNX's operators: the one that torch's exporter writes, supported by all current runtimes."""

NUM_TRACED = 3  # examples in the inputs for tracing; a batch of one would be taken for a constant

OLDEST_TORCH = "2.8"  # whose export can trace the decoders here
LONGEST_REASON = 300  # characters of an error of torch, whose first line says what it is

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What the export needs."""

NOISY = ("torch.onnx", "onnxscript", "onnx_ir")
"""Loggers that report every step of an export."""

Module = TypeVar("Module", bound=nn.Module)


def import_onnx() -> Any:
    """The package `onnx`; UsageError if it or another package for the export is missing."""
    onnx, *_ = map(import_package, PACKAGES)
    return onnx


def import_package(name: str) -> Any:
    """One of the packages; UsageError if it, or a package that it needs, is missing."""
    # Otherwise ONNX Runtime sends figures of its use to its maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"ONNX needs the package {error.name or name!r}, which is not installed: pip install 'lowerbound[onnx]'"
        ) from error


def export_copy(module: Module) -> Module:
    """A copy in single precision on the CPU, with contiguous tensors and without specialised kernels."""
    plain = deepcopy(module).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    choose_kernels(plain, fast=False)
    return plain.eval().requires_grad_(False)


@contextmanager
def exporting(name: str, own_parts: str = "") -> Iterator[None]:
    """RunError for whatever fails while a part is exported; it names the part, and those in it that are not ours."""
    try:
        yield
    except (LowerboundError, MemoryError):
        raise
    except Exception as error:
        if TorchVersion(torch.__version__) < OLDEST_TORCH:
            raise RunError(
                f"the {name} cannot be exported by torch {torch.__version__}; install torch {OLDEST_TORCH} or newer."
            ) from error
        reason = next(iter(str(error).strip().splitlines()), "")[:LONGEST_REASON].strip(" .")
        own = f" (of your own: {own_parts})" if own_parts else ""
        raise RunError(
            f"the {name} cannot be exported{own}: {type(error).__name__}: {reason}. An exported part consists of "
            "operations on tensors, and does not branch on their values."
        ) from error


def program_of(module: nn.Module, inputs: Mapping[str, Tensor]) -> "torch.export.ExportedProgram":
    """A module of named tensors traced by torch.export, for any batch size."""
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in inputs}
    # For a module that it cannot trace, torch prints the traced graph to standard error.
    with _unchecked_shapes(), redirect_stderr(StringIO()):
        return torch.export.export(module, (), dict(inputs), dynamic_shapes=shapes)


def translated(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> "onnx.ModelProto":
    """A module of named tensors as an ONNX model; UsageError if a required package is missing."""
    import_onnx()
    with _silenced():
        program = program_of(module, inputs)
        if any(node.target in DECOMPOSITIONS for node in program.graph.nodes):
            program = program.run_decompositions(DECOMPOSITIONS)
        exported = torch.onnx.export(
            program,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _remove_source_locations(model)
    _name_batch(model)
    return model


@contextmanager
def _unchecked_shapes() -> Iterator[None]:
    # Checked annotations would compare the batch size with a number, and make it constant.
    was_off = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", was_off)


def _remove_source_locations(model: "onnx.ModelProto") -> None:
    """Remove the exporter's notes on the source lines of each node."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _name_batch(model: "onnx.ModelProto") -> None:
    """Name the free axis "batch", instead of torch's symbol."""
    for value in (*model.graph.input, *model.graph.output):
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param and not any(axis.dim_param for axis in others), value.name
        first.dim_param = "batch"


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the exporter's log and warnings."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
