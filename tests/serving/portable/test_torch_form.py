"""A torch.export program computes what the model computes, and says what it is."""

import json

import pytest
import torch
from torch.testing import assert_close

from command_line import in_process
from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig
from lowerbound.data.sources import load as load_data
from lowerbound.runs.trained_model import load
from lowerbound.serving.portable.parts import parts_of
from lowerbound.serving.portable.torch_form import METADATA
from lowerbound.training.checkpoint import model_checksum
from portable_models import BATCHES, written_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_run(tmp_path_factory.mktemp("programs") / "run")


def test_programs_take_any_number_of_examples_and_give_named_outputs(run, capsys):
    printed = in_process(capsys, "export", run, "--format", "torch", "--json")
    files = json.loads(printed.out)["files"]
    assert [path.name for path in sorted((run / "torch").iterdir())] == ["decoder.pt2", "encoder.pt2", "vae.pt2"]
    assert sorted(file["path"] for file in files) == sorted(str(path) for path in (run / "torch").iterdir())
    x = scaled(load_data(DataConfig(source="digits")).test)
    model = load(run).vae
    for part in parts_of(model):
        extra = {METADATA: ""}
        program = torch.export.load(run / "torch" / f"{part.name}.pt2", extra_files=extra).module()
        about = json.loads(extra[METADATA])
        assert (about["checksum"], about["recipe"]) == (model_checksum(run), "conv")
        for num_examples in BATCHES:
            latents = torch.linspace(-1, 1, 2 * num_examples).reshape(-1, 2)
            inputs = {"x": x[:num_examples], "z": latents, "noise": latents.flip(0)}
            expected = part(inputs)
            outputs = program(**{name: inputs[name] for name in part.inputs})
            assert list(outputs) == list(expected)
            for name, tensor in expected.items():
                assert_close(outputs[name], tensor, rtol=1e-5, atol=1e-5)


def test_a_program_of_one_half_does_not_carry_the_other_halfs_weights(run):
    encoder, decoder, whole = ((run / "torch" / f"{name}.pt2").stat().st_size for name in ("encoder", "decoder", "vae"))
    num_bytes = 4 * sum(parameter.numel() for parameter in load(run).vae.decoder.parameters())
    assert whole - encoder > num_bytes / 2
    assert decoder < whole
