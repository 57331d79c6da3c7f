"""Every command ends well, whatever it is started in: terminals that lack characters, streams that are full or closed,
folders that are gone, names that are no text."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coded_arrays import coded_run
from command_line import in_process, one_line
from explorer_runs import trained
from lowerbound import cli
from lowerbound.commands.options import app
from lowerbound.commands.terminal import drop_impossible_sizes
from lowerbound.compression.codec import compress

FEW = [f"evaluation.{key}" for key in ("num_bounded=4", "num_gaps=4", "importance_draws=4", "num_draws=2")]
BROKEN = b"broken\xff"


class Failing(io.RawIOBase):
    """A stream that takes nothing."""

    def __init__(self, number):
        self.number = number

    def writable(self):
        return True

    def write(self, content):
        raise OSError(self.number, os.strerror(self.number))


def stream(kind):
    if kind in ("full", "gone"):
        raw = Failing(errno.ENOSPC if kind == "full" else errno.EPIPE)
        # As the interpreter's own: what is printed waits in a buffer, which would fail again later.
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8")
    return io.TextIOWrapper(io.BytesIO(), kind)


def ran(monkeypatch, kind, *words):
    """The exit status of a command whose streams are of a kind, and the bytes that it printed and complained."""
    out, err = stream(kind), stream("ascii" if kind in ("full", "gone") else kind)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", ["lowerbound", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    printed = b"" if kind in ("full", "gone") else out.buffer.getvalue()
    return stop.value.code or 0, printed, err.buffer.getvalue().decode("ascii" if kind == "full" else err.encoding)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of digits and of a table, by their kinds, and where files go."""
    other = tmp_path_factory.mktemp("other") / "copy"
    copytree(trained(tmp_path_factory, "digits"), other)
    return {
        "RUN": trained(tmp_path_factory, "digits"),
        "OTHER": other,
        "TABLE": trained(tmp_path_factory, "table"),
        "ROWS": trained(tmp_path_factory, "table").parent / "things.csv",
        **_compressed(tmp_path_factory.mktemp("codec")),
    }


def _compressed(folder):
    """A run that can compress, an array for it, and the file of that array."""
    _, values = coded_run(folder / "run", "bernoulli")
    np.save(folder / "x.npy", values)
    compress(folder / "run", values, folder / "x.lb")
    return {"CODEC": folder / "run", "BITS": folder / "x.npy", "BITS.LB": folder / "x.lb"}


TORCH = tuple(map(int, torch.__version__.split(".")[:2]))

COMMANDS = {
    "train": ["digits", "--epochs", 1, "--set", "model.hidden=[4]", "--set", "evaluation.num_draws=2", "--out", "OUT"],
    "sweep": ["--resume", "OUT"],
    "demo": ["--out", "OUT"],
    "evaluate": ["RUN", *(word for setting in FEW for word in ("--set", setting))],
    "diagnose": ["RUN"],
    "report": ["RUN"],
    "compare": ["RUN", "OTHER"],
    "fit-prior": ["RUN", "--components", 2, "--out", "OUT"],
    "gradients": ["RUN", "--num", 2, "--estimates", 100, "--out", "OUT.png"],
    "sample": ["RUN", "--out", "OUT.png"],
    "reconstruct": ["RUN", "--out", "OUT.png"],
    "encode": ["TABLE", "--out", "OUT.csv"],
    "score": ["TABLE", "--no-importance"],
    "impute": ["TABLE", "ROWS", "--out", "OUT.csv"],
    "compress": ["CODEC", "BITS", "--out", "OUT.lb"],
    "decompress": ["BITS.LB", "--run", "CODEC", "--out", "OUT.npy"],
    "interpolate": ["RUN", "1", "2", "--out", "OUT.png"],
    "summary": ["RUN"],
    "show": ["RUN"],
    "settings": ["model.prior"],
    "inspect": ["ROWS"],
    "pack": ["digits", "OUT"],
    "recipes": [],
    "data": [],
    "export": ["RUN", "--format", "torch", "--out", "OUT"],
    "explore": ["RUN", "--offline", "OUT.html"],
    "learn": ["RUN", "--no-browser", "--out", "OUT.html"],
    "animate": ["RUN", "--out", "OUT.gif"],
    "serve": ["RUN"],
}


def words_of(command, runs, tmp_path):
    places = {**runs, "OUT": tmp_path / "out"}
    given = [places.get(word, word) if isinstance(word, str) else word for word in COMMANDS[command]]
    return [command, *(str(word).replace("OUT.", f"{tmp_path}/out.") for word in given)]


@pytest.fixture
def quick(monkeypatch):
    """What takes long, in a moment, with the signs that its messages have."""

    def demo(out, callbacks):
        callbacks.message("−1 ± 2 × 3")
        return out / "index.html"

    def reevaluate(path, *_):
        from lowerbound.evaluation.results import read_results

        return SimpleNamespace(path=path, results=read_results(path))

    def resume_sweep(path, *, callbacks, **_):
        from sweep_points import point, results_of, sweep_of

        callbacks.message("−1 ± 2 × 3")
        return sweep_of(path, *(point(path, {"objective.rate_weight": beta}, results_of(beta, 20)) for beta in (1, 2)))

    monkeypatch.setattr("lowerbound.runs.sweep.resume_sweep", resume_sweep)
    monkeypatch.setattr("lowerbound.runs.repeats.demo", demo)
    monkeypatch.setattr("lowerbound.runs.reevaluation.reevaluate", reevaluate)
    monkeypatch.setattr("lowerbound.runs.reevaluation.diagnose_run", lambda *_: [])
    monkeypatch.setattr("lowerbound.runs.reevaluation.write_report", lambda results, path: path / "report.html")
    monkeypatch.setattr("lowerbound.reporting.report.write_report", lambda results, path: path / "report.html")
    monkeypatch.setattr("lowerbound.serving.explorer.offline.write_offline", lambda *words: words[1])
    monkeypatch.setattr("lowerbound.serving.http.hosting.host", lambda app, *, ready, **_: ready("http://127.0.0.1:1"))


def test_all_commands_are_listed_here():
    assert set(COMMANDS) == {found.name or found.callback.__name__ for found in app.registered_commands}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["ascii", "full"])
def test_every_command_ends_well_where_it_cannot_be_heard(monkeypatch, tmp_path, runs, quick, command, kind):
    if command == "export" and TORCH < (2, 8):
        pytest.skip("the decoder is exported by torch 2.8 and newer")
    status, printed, complaints = ran(monkeypatch, kind, *words_of(command, runs, tmp_path))
    assert "Traceback" not in complaints
    if kind == "ascii":
        assert status == 0, complaints
        assert printed
    else:
        assert status == 1
        reason = "standard output cannot be written (No space left on device)"
        assert reason in complaints.splitlines()[-1]


def test_what_was_trained_is_there_though_nothing_could_be_printed(monkeypatch, tmp_path, runs, quick):
    status, _, complaints = ran(monkeypatch, "full", *words_of("train", runs, tmp_path))
    assert (status, complaints.splitlines()[-1][:10]) == (1, "lowerbound")
    assert {"model.safetensors", "results.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("command", ["recipes", "summary"])
def test_a_reader_who_has_read_enough_is_no_error(monkeypatch, tmp_path, runs, command):
    assert ran(monkeypatch, "gone", *words_of(command, runs, tmp_path)) == (0, b"", "")


def test_signs_that_an_encoding_lacks_are_replaced_by_what_looks_like_them(monkeypatch, runs):
    _, printed, _ = ran(monkeypatch, "ascii", "compare", runs["RUN"], runs["OTHER"])
    assert b" +/- " in printed
    assert len({line.index(b"|") for line in printed.splitlines() if b"+/-" in line}) == 1
    _, printed, _ = ran(monkeypatch, "cp1252", "compare", runs["RUN"], runs["OTHER"])
    assert " ± ".encode("cp1252") in printed


@pytest.mark.parametrize("size", ["0", "-1", "9" * 5000, "1000000000", "wide", "", "٣٣"])
def test_a_size_that_no_terminal_has_is_forgotten(size):
    environment = {"COLUMNS": size, "LINES": size, "TERMINAL_WIDTH": size, "HOME": size}
    drop_impossible_sizes(environment)
    assert environment == {"HOME": size}
    usual = {"COLUMNS": "132", "LINES": "43"}
    drop_impossible_sizes(usual)
    assert usual == {"COLUMNS": "132", "LINES": "43"}


def started(script, **options):
    """A shell that runs the command by the name of L."""
    environment = {**os.environ, "L": f"{sys.executable} -m lowerbound", **options.pop("env", {})}
    return subprocess.run(["bash", "-c", script], capture_output=True, check=False, env=environment, **options)


def test_closed_streams_a_deleted_folder_and_impossible_sizes_end_no_process_badly(tmp_path):
    script = """
        $L recipes >&- <&-; echo closed $?
        $L nope 2>&-; echo no errors $?
        COLUMNS=0 TERM=dumb TERMINAL_WIDTH=x $L recipes --help; echo sizes $?
        $L recipes | head -1 >/dev/null; echo head ${PIPESTATUS[0]}
        $L recipes >/dev/full; echo full $?
        mkdir gone; cd gone; rmdir ../gone; $L summary dense; echo gone $?
    """
    finished = started(script, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    said = finished.stdout.decode()
    for line in ("closed 0", "no errors 2", "sizes 0", "head 0", "full 1", "gone 2"):
        assert f"{line}\n" in said, said + finished.stderr.decode()
    assert "List the recipes" in said
    full, gone = finished.stderr.decode().splitlines()
    assert "No space left on device" in full
    assert "the working directory no longer exists" in gone


NO_RUN_MAY = "is not UTF-8, which the path of a run must be"


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["train", "digits", "--out", BROKEN], 2, NO_RUN_MAY),
        (["train", "digits", "--out", "dangling"], 2, "dangling is a link to nowhere, which does not exist"),
        (["train", "digits", "--out", "file/run"], 1, "Not a directory"),
        (["train", "digits", "--out", "file"], 2, "file is not empty"),
        (["train", "digits", "--out", "x" * 300], 1, "File name too long"),
        (["train", "dangling"], 1, "dangling is a link to nowhere, which does not exist"),
        (["train", BROKEN + b".csv", "--out", "run"], 2, "config.toml can contain only UTF-8"),
        (["sample", "RUN", "--out", "dangling/x.png"], 2, "dangling is a link to nowhere"),
        (["sample", "RUN", "--folder", "dangling"], 2, "dangling is a link to nowhere"),
        (["sample", "RUN", "--out", "file/x.png"], 2, "file is a file; choose a folder"),
        (["sample", "RUN", "--out", "x" * 300 + ".png"], 1, "x.png: File name too long"),
        (["encode", "RUN", "dangling"], 1, "dangling does not exist"),
        (["encode", "RUN", b"\xff.npy"], 1, "does not exist"),
        (["export", "RUN", "--format", "torch", "--out", "dangling"], 2, "dangling is a link to nowhere"),
        (["explore", "dangling"], 2, "dangling is not a folder"),
        (["serve", "dangling"], 2, "dangling is not a run directory"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_in_one_line(capsys, monkeypatch, tmp_path, runs, words, status, reason):
    monkeypatch.chdir(tmp_path)
    Path("dangling").symlink_to("nowhere")
    Path("file").write_text("mine")
    Path(os.fsdecode(BROKEN + b".csv")).write_bytes(runs["ROWS"].read_bytes())
    before = sorted(Path.cwd().iterdir())
    given = [runs.get(word, os.fsdecode(word)) for word in words]
    printed = in_process(capsys, *given, expect=status)
    assert reason in one_line(printed.err.splitlines()[-1])
    assert printed.out == ""
    assert sorted(Path.cwd().iterdir()) == before


def test_a_name_that_is_as_long_as_can_be_is_written(capsys, tmp_path, runs):
    name = "x" * 251 + ".png"
    in_process(capsys, "sample", runs["RUN"], "--out", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_under_a_name_that_is_no_text_is_written_and_told(capsys, tmp_path, runs):
    out = tmp_path / os.fsdecode(b"\xff.png")
    assert one_line(in_process(capsys, "sample", runs["RUN"], "--out", out).out).endswith("\\xff.png")
    assert out.exists()


def test_without_a_home_a_path_that_begins_with_it_is_refused_in_one_line(capsys, monkeypatch, tmp_path):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert "~/images is not a readable file or folder" in one_line(
        in_process(capsys, "train", "~/images", expect=1).err
    )


def test_an_error_of_writing_names_the_file_that_was_asked_for(capsys, monkeypatch, tmp_path, runs):
    def refused(*words, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/somewhere/.x.part")

    monkeypatch.setattr("tempfile.mkstemp", refused)
    words = ["sample", runs["RUN"], "--out", tmp_path / "x.png"]
    assert one_line(in_process(capsys, *words, expect=1).err) == f"lowerbound: {tmp_path / 'x.png'}: Permission denied."


def test_ctrl_c_is_told_in_one_line(capsys, monkeypatch, tmp_path, runs):
    def interrupted(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lowerbound.inference.tasks.sample", interrupted)
    printed = in_process(capsys, "sample", runs["RUN"], "--out", tmp_path / "x.png", expect=130)
    assert one_line(printed.err) == "lowerbound: interrupted."
