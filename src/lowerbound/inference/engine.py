"""choose_engine: whether PyTorch or ONNX Runtime computes the two networks of a model, for tasks without gradients.

Only the encoder and the decoder are replaced: posterior, likelihood, prior and random draws stay as they are. An
exported network is used if its outputs on some of the task's own examples are those of the original and, where the
choice is left open, if it is faster on them: that depends on the network and on the machine.
"""

import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.foundation import distributed
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import LowerboundError, RunError, UnknownName, UsageError
from lowerbound.foundation.run_identity import RunPath
from lowerbound.foundation.seeding import generator
from lowerbound.inference.network_cache import cached_file, read_network, write_network
from lowerbound.models.vae import VAE
from lowerbound.networks.layers import count_operations
from lowerbound.networks.onnx_export import PACKAGES, exporting, import_package
from lowerbound.networks.onnx_network import OnnxNetwork, network_bytes

ENGINES = ("auto", "torch", "onnx")

EXPORT_FLOPS = 2.5e11
"""Operations of a network from which on its export is made up for by the faster computation.

The export of both takes 3 seconds, and ONNX Runtime saves about 6 for 10¹² operations of one thread, as measured by
benchmarks/engines.py.
"""

LOAD_FLOPS = 5e10
"""The same for a network that was exported before: importing ONNX Runtime and comparing both takes half a second."""

TOLERANCE = 1e-5
"""Accepted difference from PyTorch's outputs, relative to the largest of them."""

NUM_COMPARED = 64  # examples

Trial = Callable[[VAE], dict[str, Tensor]]
"""Inputs of both networks, by name, on which engines are compared."""


@dataclass(frozen=True, eq=False)
class Engine:
    """What computes a model's networks, and the model with these networks."""

    model: VAE
    name: str = "torch"
    notes: tuple[str, ...] = ()


def check_engine(engine: str) -> None:
    """UnknownName for an engine that does not exist, UsageError for one whose packages are not installed."""
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    if engine == "onnx" and (missing := _missing_package()):
        import_package(missing)


def choose_engine(
    engine: str, run: RunPath, model: VAE, passes: Mapping[str, int], trial: Trial, device: torch.device | str = "cpu"
) -> Engine:
    """The engine for a task that computes each network for a number of examples or draws, `passes`.

    With "auto" it is ONNX Runtime if that is installed, can compute the model, and saves more time than it takes to
    export the networks. With "onnx" UsageError or RunError if it cannot compute the model.
    """
    check_engine(engine)
    reason = _why_not_onnx(model, torch.device(device))
    if engine == "torch" or (engine == "auto" and (reason or _missing_package() or not _is_worth(run, model, passes))):
        return Engine(model)
    try:
        if reason:
            raise UsageError(f"engine 'onnx' cannot compute this model: {reason}; choose 'torch'.", hint="engine")
        networks = _exported(run, model, passes, trial, only_faster=engine == "auto")
    except LowerboundError as error:
        if engine == "onnx":
            raise
        return Engine(model, notes=(f"engine: torch, because {error}",))
    if not networks:
        return Engine(model)
    replaced = model.with_networks(networks.get("encoder", model.encoder), networks.get("decoder", model.decoder))
    slower = [name for name in passes if name not in networks]
    return Engine(replaced, "onnx", (f"engine: onnx{''.join(f', but torch for the {name}' for name in slower)}",))


def asked(engine: str) -> dict[str, str]:
    """The engine as part of a task's identity: files of another one are only accepted where any is."""
    return {} if engine == "auto" else {"engine": engine}


def on_examples(examples: Callable[[int], Examples]) -> Trial:
    """Comparison on the first examples of a task, and on their codes; `examples` returns at most a number of them."""

    def inputs(model: VAE) -> dict[str, Tensor]:
        few = examples(NUM_COMPARED)
        x = scaled(few) if len(few) else torch.zeros(1, *model.event_shape)
        features = model.likelihood.features(x)
        return {"encoder": features, "decoder": model.posterior_of_features(features).centre}

    return inputs


def on_prior(model: VAE) -> dict[str, Tensor]:
    """Comparison on draws from the prior, for tasks that only decode."""
    return {"decoder": model.sample_prior(NUM_COMPARED, generator(0, "engine"))}


def on_generated(model: VAE) -> dict[str, Tensor]:
    """Comparison on draws from the prior and what is decoded from them, for tasks whose examples are not there yet."""
    if model.has_prior:
        z = model.sample_prior(NUM_COMPARED, generator(0, "engine"))
    else:
        z = torch.randn(NUM_COMPARED, model.latent_dim, generator=generator(0, "engine"))
    return {"encoder": model.likelihood.features(best_guess(model, model.decode(z))), "decoder": z}


def _missing_package() -> str:
    """The first package that ONNX needs and that is not installed; empty if all are. None is imported."""
    return next((name for name in PACKAGES if find_spec(name) is None), "")


def _why_not_onnx(model: VAE, device: torch.device) -> str:
    """Why ONNX Runtime cannot compute the model's networks; empty if it may."""
    if device.type != "cpu":
        return f"it computes on the CPU, and the device is {device}"
    if model.takes_context:
        return "its networks take a context"
    precisions = {parameter.dtype for parameter in model.parameters()} - {torch.float32}
    return f"it computes in float32, and the weights are {precisions.pop()}" if precisions else ""


def _is_worth(run: RunPath, model: VAE, passes: Mapping[str, int]) -> bool:
    """Whether the faster computation makes up for exporting or loading the networks that are used."""
    num_ranks = distributed.share().num_ranks
    saved = sum(num / num_ranks * _flops(getattr(model, name), _shape(model, name)) for name, num in passes.items())
    if saved < LOAD_FLOPS * len(passes):
        return False
    return saved >= sum(LOAD_FLOPS if cached_file(run, name).is_file() else EXPORT_FLOPS for name in passes)


def _flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating-point operations for one example."""
    return count_operations(lambda: network(torch.zeros(1, *shape)))


def _shape(model: VAE, name: str) -> tuple[int, ...]:
    """The shape of one input of a network."""
    return tuple(model.likelihood.feature_shape) if name == "encoder" else (model.latent_dim,)


@torch.no_grad()
def _exported(
    run: RunPath, model: VAE, passes: Mapping[str, int], trial: Trial, only_faster: bool
) -> dict[str, OnnxNetwork]:
    """The networks that are used; RunError for one that cannot be exported or whose outputs differ."""
    inputs = trial(model)
    found = {name: _onnx_network(run, model, name, inputs[name]) for name in passes}
    return {name: network for name, network in found.items() if not only_faster or is_faster(network, inputs[name])}


def is_faster(found: OnnxNetwork, x: Tensor) -> bool:
    """Whether ONNX Runtime computes a batch in less time, by the shortest of several times."""
    # As in the tasks: without, PyTorch would look slower than it is there.
    with kept_memory():
        return min(timeit.repeat(lambda: found(x), number=1)) < min(timeit.repeat(lambda: found.network(x), number=1))


def _onnx_network(run: RunPath, model: VAE, name: str, x: Tensor) -> OnnxNetwork:
    """A network from the cache or, where it has none with the outputs of the original, exported and kept there."""
    network, file = getattr(model, name), cached_file(run, name)
    expected = network(x)
    if (content := read_network(file)) and (kept := _kept(network, content, x, expected)):
        return kept
    with exporting(name):
        content = network_bytes(network, _shape(model, name))
        found = OnnxNetwork(network, content)
        deviates = deviation(found(x), expected)
    if not deviates <= TOLERANCE:
        raise RunError(
            f"the {name} as ONNX Runtime computes it differs by {deviates:.1e} from PyTorch's, relative to its largest "
            f"output; at most {TOLERANCE:.0e} is accepted.",
            hint="engine",
        )
    write_network(file, content)
    return found


def _kept(network: nn.Module, content: bytes, x: Tensor, expected: Tensor) -> OnnxNetwork | None:
    """A network as it was exported before; None if it is of no use, as after a change of this package."""
    try:
        found = OnnxNetwork(network, content)
        return found if deviation(found(x), expected) <= TOLERANCE else None
    except LowerboundError:
        raise
    except Exception:  # ONNX Runtime's own have no base class in common
        return None


def deviation(computed: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected magnitude; infinite for another shape, and for NaN."""
    if computed.shape != expected.shape:
        return float("inf")
    difference = (computed.double() - expected.double()).abs().max()
    scale = expected.double().abs().max()
    return float((difference / scale).nan_to_num(0.0 if difference == 0 else torch.inf, torch.inf))
