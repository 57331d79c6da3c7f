"""`lowerbound compress` and `decompress`: from files to a file and back, with what it took."""

import csv
import json

import numpy as np
import pytest

from coded_arrays import coded_run
from coded_tables import coded_table_run, written_table
from command_line import in_process, one_line


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    _, values = coded_run(folder / "run", "bernoulli")
    np.save(folder / "x.npy", values)
    return folder


def test_an_array_comes_back_from_its_file(places, capsys, tmp_path):
    words = ("compress", places / "run", places / "x.npy", "--out", tmp_path / "x.lb")
    printed = in_process(capsys, *words, "--compare").out
    assert "37 examples: " in printed and "bits per dimension" in printed and "-ELBO: " in printed and "xz: " in printed
    assert printed.splitlines()[-1] == str(tmp_path / "x.lb")
    in_process(capsys, "decompress", tmp_path / "x.lb", "--run", places / "run", "--out", tmp_path / "back.npy")
    assert (tmp_path / "back.npy").read_bytes() == (places / "x.npy").read_bytes()


def test_images_come_back_as_files(places, capsys, tmp_path):
    words = ("--embed-model", "--lanes", 2, "--block", 20, "--json", "--out", tmp_path / "x.lb")
    found = json.loads(in_process(capsys, "compress", places / "run", places / "x.npy", *words).out)
    assert found["num_bytes"] == (tmp_path / "x.lb").stat().st_size and found["bits_per_dimension"] > 0
    printed = in_process(capsys, "decompress", tmp_path / "x.lb", "--out", tmp_path / "images", "--json").out
    assert json.loads(printed) == {"path": str(tmp_path / "images"), "num_examples": 37, "lost": []}
    assert len(list((tmp_path / "images").glob("*.png"))) == 37


def test_a_table_comes_back_as_a_csv(capsys, tmp_path):
    written_table(tmp_path / "people.csv")
    coded_table_run(tmp_path / "run", tmp_path / "people.csv")
    words = ("compress", tmp_path / "run", tmp_path / "people.csv", "--out", tmp_path / "x.lb", "--compare")
    printed = in_process(capsys, *words).out
    assert "which cells are missing: " in printed and "xz: " in printed and "png" not in printed
    in_process(capsys, "decompress", tmp_path / "x.lb", "--run", tmp_path / "run", "--out", tmp_path / "back.csv")
    given, back = (list(csv.reader((tmp_path / name).open(encoding="utf-8"))) for name in ("people.csv", "back.csv"))
    assert given == back


def test_what_is_lost_is_named(places, capsys, tmp_path):
    in_process(capsys, "compress", places / "run", places / "x.npy", "--block", 20, "--out", tmp_path / "x.lb")
    content = bytearray((tmp_path / "x.lb").read_bytes())
    content[-2] ^= 1
    (tmp_path / "x.lb").write_bytes(content)
    words = ("decompress", tmp_path / "x.lb", "--run", places / "run", "--out", tmp_path / "y.npy")
    assert "To read what is intact: --skip-broken." in in_process(capsys, *words, expect=1).err
    assert not (tmp_path / "y.npy").exists()
    captured = in_process(capsys, *words, "--skip-broken")
    assert "lost: block 2 (examples 20 to 36): its bytes are not what was written." in captured.err
    assert len(np.load(tmp_path / "y.npy")) == 20


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("compress", "RUN", "X"), "a file is needed for the compressed examples, such as examples.lb. Option: --out."),
        (("compress", "RUN", "X", "--out", "OLD"), "exists already"),
        (("compress", "RUN", "X", "--out", "NEW", "--lanes", 0), "lanes is 0"),
        (("decompress", "FILE"), "the output is missing"),
        (
            ("decompress", "FILE", "--out", "NEW"),
            "contains no model; give the run that it was compressed with. Option: --run RUN.",
        ),
        (("decompress", "FILE", "--run", "RUN", "--out", "OLD"), "exists already"),
        (("decompress", "FILE", "--run", "RUN", "--out", "NEW", "--example", 99), "there is no example 99"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(places, capsys, tmp_path, words, reason):
    if not (places / "x.lb").exists():
        in_process(capsys, "compress", places / "run", places / "x.npy", "--out", places / "x.lb")
    (tmp_path / "old").touch()
    names = {"RUN": places / "run", "X": places / "x.npy", "FILE": places / "x.lb"}
    names |= {"OLD": tmp_path / "old", "NEW": tmp_path / "new"}
    given = [names.get(word, word) if isinstance(word, str) else word for word in words]
    assert reason in one_line(in_process(capsys, *given, expect=2).err)
