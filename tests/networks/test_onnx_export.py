"""Modules as ONNX: what they need, and what is said of one that cannot be traced; tests of the service and of exported
files compare what they compute."""

import os
import sys

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.networks.kernels import Conv2d
from lowerbound.networks.onnx_export import (
    OLDEST_TORCH,
    PACKAGES,
    export_copy,
    exporting,
    import_onnx,
    import_package,
    program_of,
)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch, package):
    for other in PACKAGES:
        if other != package:
            pytest.importorskip(other)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"needs the package '{package}'.*pip install 'lowerbound\[onnx\]'"):
        import_onnx()


def test_onnx_runtime_reports_nothing_to_its_maker():
    pytest.importorskip("onnxruntime")
    import_package("onnxruntime")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.skipif(TorchVersion(torch.__version__) < OLDEST_TORCH, reason="this torch exports nothing")
def test_a_module_that_branches_on_values_is_refused_in_one_line_with_its_own_parts():
    reason = r"^the decoder cannot be exported \(of your own: decoder Branching\): .*does not branch on their values\.$"
    with pytest.raises(RunError, match=reason), exporting("decoder", "decoder Branching"):
        program_of(Branching(), {"x": torch.ones(3, 2)})


def test_what_is_exported_is_a_plain_copy_in_single_precision():
    layer = Conv2d(2, 3).double()
    copied = export_copy(layer)
    assert (copied.fast, copied.training, copied.weight.dtype) == (False, False, torch.float32)
    assert not copied.weight.requires_grad
    assert (layer.fast, layer.training, layer.weight.dtype) == (True, True, torch.float64)
