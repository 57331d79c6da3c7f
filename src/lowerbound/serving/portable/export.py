"""export: writes a run's encoder, decoder and whole model as ONNX or torch.export files, or for diffusers.

Every file is built, checked and compared with the model in memory before any is written.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from lowerbound.foundation.errors import UnknownName
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.storage import check_own_folder, folder_atomically
from lowerbound.networks.onnx_export import export_copy, import_onnx
from lowerbound.runs.run_data import own_splits, read_stored
from lowerbound.runs.trained_model import load
from lowerbound.serving.portable import diffusers_form, onnx_form, torch_form
from lowerbound.serving.portable.metadata import run_metadata
from lowerbound.serving.portable.parity import Computation, Parity, check_parity, comparison_inputs_of
from lowerbound.serving.portable.parts import PARTS, Part, Port, exporting, parts_of, reason_without_vae

DIFFUSERS = "diffusers"
"""The form that is a folder for one class of another library, rather than a file for each part."""


@dataclass(frozen=True)
class Format:
    """A file format: its suffix, the check for required packages, and the function that builds a file."""

    suffix: str
    require: Callable[[], object]  # UsageError for a missing package
    build: Callable[[Part, Mapping[str, str]], tuple[bytes, Computation]]


@dataclass(frozen=True)
class File:
    """A written file, its inputs and outputs, and its deviation from the model."""

    path: Path
    ports: tuple[Port, ...]
    parity: Parity


@dataclass(frozen=True)
class Exported:
    """The written files, and the data of the comparison with the model."""

    files: tuple[File, ...]
    compared: str
    notes: tuple[str, ...] = ()  # why the data are not the run's own, and why parts are missing


def export(
    run: RunPath, form: str = "onnx", out: str | Path | None = None, data_dir: str = "", data: str = ""
) -> Exported:
    """Write a run's encoder, decoder and whole model to the folder `out`, by default a folder inside the run.

    They are compared with the model on the run's data, from their original location or `data`.
    The form "diffusers" is a folder for AutoencoderKL of that library, of models with network "autoencoder-kl"; the
    data are then required, for the scale of the latents.
    Raises UnknownName or UsageError for an invalid request, RunError if the model is damaged, cannot be
    exported, or is not reproduced by an exported file.
    """
    if form == DIFFUSERS:
        return _export_to_diffusers(path_of(run), out, data_dir, data)
    if form not in FORMATS:
        raise UnknownName("format", form, [*FORMATS, DIFFUSERS])
    path, chosen = path_of(run), FORMATS[form]
    folder = path / form if out is None else Path(out)
    read_stored(path)
    chosen.require()
    check_own_folder(folder, {f"{name}{chosen.suffix}" for name in PARTS}.__contains__, "export")
    trained = load(path)
    model = trained.vae
    trial = comparison_inputs_of(path, model, data, data_dir)
    about = run_metadata(path, trained)
    contents, files = {}, []
    with exporting("model", model):
        versions = (export_copy(model), model, deepcopy(model).double())
    for plain, part, precise in zip(*map(parts_of, versions), strict=True):
        with exporting(part.name, model):
            content, computed = chosen.build(plain, about)
            file = folder / f"{part.name}{chosen.suffix}"
            files.append(File(file, tuple(part.ports()), check_parity(computed, part, precise, trial)))
        contents[file.name] = content
    _write_all(folder, contents)
    reason = reason_without_vae(model)
    notes = (trial.note, f"only the encoder and the decoder are exported: {reason}" if reason else "")
    return Exported(tuple(files), trial.about, tuple(filter(None, notes)))


def _export_to_diffusers(path: Path, out: str | Path | None, data_dir: str, data: str) -> Exported:
    folder = path / DIFFUSERS if out is None else Path(out)
    read_stored(path)
    check_own_folder(folder, lambda name: name in diffusers_form.FILES or name.startswith("."), "export")
    trained = load(path)
    model = trained.vae
    diffusers_form.check_model(model, trained.schema)
    scaling = diffusers_form.measured_scaling(model, own_splits(path, data=data, data_dir=data_dir).train)
    contents = diffusers_form.contents_of(model, scaling, run_metadata(path, trained))
    plain, precise = (diffusers_form.reference_part(version) for version in (model, deepcopy(model).double()))
    trial = comparison_inputs_of(path, model, data, data_dir)
    parity = check_parity(diffusers_form.Computed(model, contents), plain, precise, trial)
    _write_all(folder, contents)
    file = File(folder / diffusers_form.WEIGHTS, diffusers_form.ports_of(model), parity)
    note = f"scaling_factor is {scaling.factor:.4g} = {scaling.about}"
    return Exported((file,), trial.about, tuple(filter(None, (note, trial.note))))


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write all files or none to a new folder; in an existing one, replace each file atomically."""
    with folder_atomically(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)


FORMATS = {
    "onnx": Format(".onnx", import_onnx, onnx_form.build),
    "torch": Format(".pt2", lambda: None, torch_form.build),
}
