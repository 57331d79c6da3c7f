"""Parts of someone's own are exported if torch can trace them; otherwise one line names the part and the reason."""

import pytest
import torch

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.foundation.errors import RunError
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.likelihoods import LIKELIHOODS, BernoulliLikelihood
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.posteriors import POSTERIORS, DiagonalNormalPosterior, Posterior
from lowerbound.probability.priors import PRIORS, StandardNormalPrior
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.portable.export import export
from untrained_models import untrained_run

pytest.importorskip("onnx")
import onnx

IMAGES = torch.randint(0, 256, (30, 8, 8), generator=torch.Generator().manual_seed(0)).numpy().astype("uint8")


class Branching(BernoulliLikelihood):
    """Its forward depends on a value, which no trace can follow."""

    def forward(self, raw):
        return super().forward(-raw if raw.sum().item() > 1e9 else raw)


class BranchingPosterior(DiagonalNormalPosterior):
    def forward(self, raw):
        return super().forward(-raw if raw.sum().item() > 1e9 else raw)


class BranchingPrior(StandardNormalPrior):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.shift = torch.nn.Parameter(torch.zeros(latent_dim))

    def forward(self):
        normal = super().forward()
        return normal if self.shift.sum().item() < 1e9 else DiagonalNormal(normal.mean + 1, normal.log_variance)


class Cholesky(Posterior):
    @property
    def raw_shape(self):
        return (self.latent_dim * (self.latent_dim + 1),)

    def forward(self, raw):
        mean, entries = raw[..., : self.latent_dim], raw[..., self.latent_dim :]
        square = entries.reshape(*raw.shape[:-1], self.latent_dim, self.latent_dim)
        return FullNormal(mean, square.tril(-1) + torch.diag_embed(square.diagonal(dim1=-2, dim2=-1).exp()))


CASES = {
    "likelihood": (LIKELIHOODS, Branching, "the decoder cannot be exported (of your own: likelihood Branching)"),
    "posterior": (POSTERIORS, BranchingPosterior, "the encoder cannot be exported (of your own: posterior Branching"),
    "prior": (PRIORS, BranchingPrior, "the vae cannot be exported (of your own: prior BranchingPrior): "),
}


def run_with(folder, monkeypatch, kind, table, part):
    monkeypatch.setitem(table, "mine", part)
    chosen = {"likelihood": "bernoulli", kind: "mine"}
    return untrained_run(folder / "run", IMAGES, **chosen).path


@pytest.mark.parametrize("form", ["onnx", "torch"])
@pytest.mark.parametrize("kind", CASES)
def test_a_part_that_cannot_be_traced_is_named_and_nothing_is_written(tmp_path, monkeypatch, capsys, kind, form):
    table, part, message = CASES[kind]
    run = run_with(tmp_path, monkeypatch, kind, table, part)
    printed = in_process(capsys, "export", run, "--format", form, "--out", tmp_path / "out", expect=1).err
    refusal = one_line(printed)
    assert message in refusal
    assert "does not branch on their values" in refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["likelihood", "posterior"])
def test_the_offline_page_names_the_part_too(tmp_path, monkeypatch, kind):
    table, part, _ = CASES[kind]
    run = run_with(tmp_path, monkeypatch, kind, table, part)
    with pytest.raises(RunError, match=f"cannot be exported .of your own: .*{kind} {part.__name__}"):
        write_offline(run, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_posterior_of_ones_own_with_a_known_distribution_is_exported(tmp_path, monkeypatch):
    run = run_with(tmp_path, monkeypatch, "posterior", POSTERIORS, Cholesky)
    exported = export(run, "onnx", tmp_path / "out")
    assert "scale_tril" in [port.name for port in exported.files[0].ports]
    assert max(file.parity.deviation for file in exported.files) <= 1e-5
    onnx.checker.check_model(onnx.load(tmp_path / "out" / "vae.onnx"))
    assert lb.load(run).vae.config.posterior == "mine"


def test_a_torch_that_is_too_old_to_export_is_named(tmp_path, monkeypatch, capsys):
    run = run_with(tmp_path, monkeypatch, "likelihood", LIKELIHOODS, Branching)
    monkeypatch.setattr(torch, "__version__", "2.7.1+cpu")
    refusal = one_line(in_process(capsys, "export", run, "--format", "torch", expect=1).err)
    assert "the decoder cannot be exported by torch 2.7.1+cpu; install torch 2.8 or newer" in refusal
