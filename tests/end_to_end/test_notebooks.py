"""The Python API where notebooks and pools of processes run it: in an event loop, without a file as standard output,
and in processes that are forked or spawned.
"""

import asyncio
import io
import os
import subprocess
import sys

import numpy as np
import pytest

import lowerbound as lb
from explorer_runs import SMALL, trained
from lowerbound.estimator import VAE


class Stream:
    """A standard stream as a program may replace it: text goes in, and it has no descriptor, buffer or encoding."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass


@pytest.fixture(autouse=True)
def no_report(without_figures):
    """Reports without figures."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "digits")


def use_the_package(folder):
    """A bit of everything that a notebook calls."""
    images = np.random.default_rng(0).integers(0, 17, (60, 8, 8)).astype(np.uint8)
    records = []
    run = lb.train(images, recipe="dense", epochs=1, settings=SMALL, out=folder / "run", log=records.append)
    splits = lb.load_data(lb.DataConfig())
    model = lb.load(run.save_pretrained(folder / "saved"))
    centre = model.encode(images[:3]).centre
    assert records and len(centre) == len(model.decode(centre).mean) == len(model.score(images[:3])) == 3
    assert model.generate(2).shape == (2, 8, 8, 1)
    plain = lb.fit_prior(lb.train("digits", recipe="dense", epochs=1, settings=SMALL, out=folder / "digits"))
    swept = lb.sweep("digits", recipe="dense", epochs=1, settings=SMALL, over={"objective.rate_weight": [0.5, 2]})
    shown = [run, run.model, model.vae, plain.results, lb.compare([folder / "digits", plain]), swept]
    assert all("lowerbound-view" in each._repr_html_() for each in shown) and repr(splits)
    VAE(latent_dim=1, num_epochs=1).fit(images.reshape(60, 64).astype(float))


@pytest.mark.parametrize("stream", [None, io.StringIO(), Stream()], ids=["none", "text", "bare"])
def test_it_works_inside_a_running_loop_whatever_standard_output_is(tmp_path, monkeypatch, stream):
    async def cell():
        use_the_package(tmp_path)

    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    asyncio.run(cell())


IN_PROCESSES = """
import multiprocessing, sys
import numpy as np, torch
import lowerbound as lb

def measured(arguments):
    model, x = arguments
    return model.encode(x).mean.numpy(), model.score(x)

if __name__ == "__main__":
    torch.set_num_threads(2)
    model = lb.load(sys.argv[1])
    x = lb.load_data(lb.DataConfig()).test.values[:60]
    torch.randn(2000, 2000) @ torch.randn(2000, 2000)  # which starts the threads of OpenMP
    with multiprocessing.get_context(sys.argv[2]).Pool(1) as pool:
        [(mean, score)] = pool.map_async(measured, [(model, x)]).get(60)
    expected = measured((model, x))
    np.testing.assert_allclose(mean, expected[0], rtol=0, atol=1e-5)  # other numbers of threads round differently
    np.testing.assert_allclose(score, expected[1], rtol=1e-5)
    print("agree")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_use_a_model_that_their_parent_has_used(tmp_path, run, method):
    (tmp_path / "pool.py").write_text(IN_PROCESSES)
    command = [sys.executable, str(tmp_path / "pool.py"), str(run), method]
    options = {"env": os.environ | {"OMP_NUM_THREADS": "2"}, "capture_output": True, "text": True, "timeout": 120}
    finished = subprocess.run(command, check=False, **options)
    assert finished.stdout == "agree\n", finished.stderr


def test_a_data_loader_with_workers_encodes(run):
    from torch.utils.data import DataLoader

    model = lb.load(run)
    codes = Codes(model, lb.load_data(lb.DataConfig()).test.values[:8])
    found = next(iter(DataLoader(codes, batch_size=8, num_workers=1, multiprocessing_context="fork")))
    np.testing.assert_allclose(found, model.encode(codes.images).mean, atol=1e-6)


class Codes:
    """A data set whose examples are encoded by the worker that reads them."""

    def __init__(self, model, images):
        self.model, self.images = model, images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.model.encode(self.images[index]).mean[0]


def test_a_kernel_shows_runs_and_the_explorer_as_html(run):
    """By a notebook that Jupyter's own kernel executes."""
    for package in ("ipykernel", "nbclient", "onnxscript"):
        pytest.importorskip(package)
    import nbformat
    from nbclient import NotebookClient

    cells = [
        f"import lowerbound as lb\nrun = lb.load_run({str(run)!r})\nrun",
        "run.results.score('elbo')",
        "run.explore()",
        "import sys\ntry:\n    sys.stdout.fileno()\nexcept OSError:\n    print('no file')",
        "lb.train('digits', recipe='dense', epochs=1).path.exists()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=200).execute()
    outputs = [cell.outputs[-1] for cell in notebook.cells]
    assert "lowerbound-view" in outputs[0].data["text/html"] and "Run(" in outputs[0].data["text/plain"]
    assert "nats" in outputs[1].data["text/html"]
    assert outputs[2].data["text/html"].startswith("<iframe")
    assert outputs[4].data["text/plain"] == "True"
