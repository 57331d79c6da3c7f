"""OnnxNetwork: an encoder or decoder that ONNX Runtime computes on the CPU, with the weights of the original."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.networks.onnx_export import NUM_TRACED, export_copy, import_onnx, import_package, translated

INPUT, OUTPUT = "input", "raw"


class OnnxNetwork(nn.Module):
    """`network`, computed by ONNX Runtime from `content`, which `network_bytes` made of it.

    Gradients, other devices and other precisions are those of the network itself.
    """

    def __init__(self, network: nn.Module, content: bytes) -> None:
        super().__init__()
        self.network = network
        self.session = session_of(content)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.dtype != torch.float32 or x.device.type != "cpu" or not len(x):
            raw: Tensor = self.network(x)
            return raw
        (found,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(x.numpy())})
        return torch.from_numpy(found)


def network_bytes(network: nn.Module, event_shape: tuple[int, ...]) -> bytes:
    """A network of one tensor, `event_shape` for each example, as a checked ONNX model in memory."""
    onnx = import_onnx()
    inputs = {INPUT: torch.zeros(NUM_TRACED, *event_shape)}
    model = translated(_Named(export_copy(network)).eval(), inputs, [OUTPUT])
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def session_of(content: bytes) -> Any:
    """An inference session of ONNX Runtime on the CPU, with as many threads as torch."""
    onnxruntime = import_package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Named(nn.Module):
    """A network whose input has the name that the session expects."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> Tensor:
        raw: Tensor = self.network(input)
        return raw
