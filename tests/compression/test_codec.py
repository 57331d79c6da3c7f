"""What is compressed comes back as it was, from a file as long as the bound says; the rest is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import lowerbound as lb
from coded_arrays import ARRAYS, coded_run
from coded_tables import coded_table_run, written_table
from lowerbound.coding import rounded_networks
from lowerbound.compression.codec import compress, decompress
from lowerbound.data.batches import scaled
from lowerbound.foundation.errors import DataError, LowerboundError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.objectives.terms import estimate_terms
from untrained_models import untrained, untrained_run

ELSEWHERE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OMP_NUM_THREADS": "2",
}
"""What makes this processor compute like an older one, with other instructions and sums of another order."""


READ_ALL = """
import json
import sys
import numpy as np
from lowerbound.coding import rounded_networks
from lowerbound.compression.codec import decompress
rounded_networks.AT_ONCE = 1
table = decompress(f"{sys.argv[1]}/people.lb", f"{sys.argv[1]}/people").columns
assert [*zip(*table.values())] == [*zip(*json.load(open(f"{sys.argv[1]}/people.json")).values())]
for number in range(int(sys.argv[2])):
    values = np.load(f"{sys.argv[1]}/{number}.npy")
    found = decompress(f"{sys.argv[1]}/{number}.lb", f"{sys.argv[1]}/run{number}").values
    assert found.dtype == values.dtype and np.array_equal(found, values), number
"""


@pytest.fixture(scope="module", params=ARRAYS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def run(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    coded_run(path, kind)
    return path


def same(found, values):
    assert found.dtype == values.dtype and found.shape == values.shape
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("lanes", [1, 4])
def test_every_kind_comes_back_with_its_type_and_shape_in_about_as_many_bits_as_minus_elbo(kind, run, tmp_path, lanes):
    values = np.concatenate([ARRAYS[kind][0]] * 8)
    found = compress(run, values, tmp_path / "x.lb", lanes=lanes)
    assert (tmp_path / "x.lb").stat().st_size == found.num_bytes
    same(decompress(tmp_path / "x.lb", run).values, values)
    payload = 8 * (found.num_bytes - found.header_bytes)
    # Beyond -ELBO: latents of the examples coded directly, two words, and the exceptions.
    beyond = payload - 80 * found.num_exceptions - found.negative_elbo
    assert beyond < 64 + found.num_direct * 40
    # Counts are coded given that none is larger than the largest, which the header states: that takes fewer bits.
    assert beyond > -40 or kind in ("poisson", "negative-binomial")


def test_minus_elbo_of_the_file_is_that_of_the_model(kind, run, tmp_path):
    values = ARRAYS[kind][0]
    found = compress(run, values, tmp_path / "x.lb")
    trained = lb.load(run)
    terms = estimate_terms(trained.vae, scaled(trained.examples(values).examples), generator(0, "draws"), 400)
    expected, error = -terms.elbo.sum() / np.log(2), terms.elbo_standard_error.square().sum().sqrt() / np.log(2)
    assert abs(found.negative_elbo - expected) < 5 * float(error) * np.sqrt(400)


def test_blocks_are_read_alone(kind, run, tmp_path):
    values = ARRAYS[kind][0]
    found = compress(run, values, tmp_path / "x.lb", block=10, lanes=3)
    assert found.num_direct >= 4  # at least one in each block
    same(decompress(tmp_path / "x.lb", run).values, values)
    for example in (0, 9, 10, 36):
        same(decompress(tmp_path / "x.lb", run, example=example).values, values[example : example + 1])


def test_a_file_with_its_model_needs_no_run(kind, run, tmp_path):
    compress(run, ARRAYS[kind][0], tmp_path / "x.lb", embed_model=True)
    same(decompress(tmp_path / "x.lb").values, ARRAYS[kind][0])


def test_files_are_read_by_another_process_on_what_is_like_another_processor(tmp_path):
    for number, kind in enumerate(ARRAYS):
        _, values = coded_run(tmp_path / f"run{number}", kind)
        compress(tmp_path / f"run{number}", values, tmp_path / f"{number}.lb")
        np.save(tmp_path / f"{number}.npy", values)
    written_table(tmp_path / "people.csv")
    coded_table_run(tmp_path / "people", tmp_path / "people.csv")
    compress(tmp_path / "people", tmp_path / "people.csv", tmp_path / "people.lb")
    (tmp_path / "people.json").write_text(json.dumps(decompress(tmp_path / "people.lb", tmp_path / "people").columns))
    command = [sys.executable, "-c", READ_ALL, str(tmp_path), str(len(ARRAYS))]
    done = subprocess.run(command, env=os.environ | ELSEWHERE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_batch_of_another_size_gives_the_same_file(kind, run, tmp_path, monkeypatch):
    compress(run, ARRAYS[kind][0], tmp_path / "x.lb")
    monkeypatch.setattr(rounded_networks, "AT_ONCE", 5)
    compress(run, ARRAYS[kind][0], tmp_path / "y.lb")
    assert (tmp_path / "x.lb").read_bytes() == (tmp_path / "y.lb").read_bytes()


def test_one_example_alone_is_coded_directly(run, kind, tmp_path):
    values = ARRAYS[kind][0][:1]
    assert compress(run, values, tmp_path / "x.lb").num_direct == 1
    same(decompress(tmp_path / "x.lb", run).values, values)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images in two folders, and a run of it."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(30):
        place = folder / "images" / ("cats" if index % 2 else "dogs") / f"{index:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place)
    untrained_run(folder / "run", str(folder / "images"), likelihood="discretized-logistic")
    return folder


def test_a_folder_of_images_keeps_its_names(photos, tmp_path):
    compress(photos / "run", photos / "images", tmp_path / "x.lb")
    found = decompress(tmp_path / "x.lb", photos / "run")
    assert sorted(found.names)[:2] == ["cats/01.png", "cats/03.png"] and len(found.values) == 30
    for name, pixels in zip(found.names, found.values, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(photos / "images" / name)))


def test_what_could_not_come_back_is_refused_and_nothing_is_written(photos, tmp_path):
    large = Image.fromarray(np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "large").mkdir()
    large.save(tmp_path / "large" / "a.png")
    with pytest.raises(DataError, match="resized"):
        compress(photos / "run", tmp_path / "large", tmp_path / "x.lb")
    assert not (tmp_path / "x.lb").exists()


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((6, 6, 4), np.uint8), "blended with white"),
        (np.full((6, 6), 40_000, np.uint16), "65535"),
    ],
)
def test_files_that_are_converted_when_they_are_read_are_refused(photos, tmp_path, pixels, reason):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=rf"changed when they were read \(.*{reason}"):
        compress(photos / "run", tmp_path / "a.png", tmp_path / "x.lb")


def test_values_between_levels_are_refused(tmp_path):
    values = ARRAYS["bernoulli"][0].copy()
    untrained_run(tmp_path / "grey", values[..., 0].astype(np.float32) / 255, likelihood="bernoulli")
    between = np.full((3, 5, 4), 0.5, np.float32)
    with pytest.raises(LowerboundError, match=r"only 0 and 1|levels"):
        compress(tmp_path / "grey", between, tmp_path / "x.lb")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"likelihood": "gaussian"}, "gives no probabilities of whole numbers"),
        ({"posterior": "full-normal", "likelihood": "bernoulli"}, "posterior is 'full-normal'"),
        (
            {"prior": "vamp", "likelihood": "bernoulli"},
            "prior is VampPrior; .* 'standard-normal' or 'mixture-of-normals'",
        ),
    ],
)
def test_a_model_with_which_nothing_can_be_coded_is_refused(model, reason, tmp_path):
    untrained_run(tmp_path / "run", ARRAYS["bernoulli"][0], **model)
    with pytest.raises(UsageError, match=reason):
        compress(tmp_path / "run", ARRAYS["bernoulli"][0], tmp_path / "x.lb")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder with a table and a run of it, and the table's cells."""
    folder = tmp_path_factory.mktemp("people")
    cells = written_table(folder / "people.csv")
    coded_table_run(folder / "run", folder / "people.csv")
    return folder, cells


def as_rows(found):
    return [list(found.columns), *(list(row) for row in zip(*found.columns.values(), strict=True))]


def test_every_cell_of_a_table_comes_back_as_text(people, tmp_path):
    folder, cells = people
    found = compress(folder / "run", folder / "people.csv", tmp_path / "x.lb", embed_model=True, block=50)
    assert found.text_bytes > 0 and found.missing_bits > 0
    assert as_rows(decompress(tmp_path / "x.lb")) == cells
    one = decompress(tmp_path / "x.lb", example=57)
    assert as_rows(one) == [cells[0], cells[58]] and one.values.shape == (1, 5)


def test_a_table_takes_minus_elbo_of_its_rounded_numbers_and_its_missing_cells(people, tmp_path):
    folder, _ = people
    rows = pd.concat([pd.read_csv(folder / "people.csv", dtype=str, keep_default_na=False)] * 8)
    found = compress(folder / "run", rows, tmp_path / "x.lb")
    payload = 8 * (found.num_bytes - found.header_bytes - found.text_bytes) - 80 * found.num_exceptions
    beyond = payload - found.negative_elbo - found.missing_bits
    # Counts are coded given that none is larger than the largest, which saves a little.
    assert -0.02 * payload < beyond < 64 + found.num_direct * 40


def test_wrong_arguments_are_refused(photos, tmp_path):
    run, images = photos / "run", photos / "images"
    compress(run, images, tmp_path / "x.lb")
    for arguments, reason in (
        ({"out": tmp_path / "x.lb"}, "exists already"),
        ({"out": ""}, "a file is needed"),
        ({"out": tmp_path}, "a file is needed"),
        ({"out": tmp_path / "y.lb", "lanes": 0}, "lanes is 0"),
        ({"out": tmp_path / "y.lb", "block": 2**30}, "block is"),
    ):
        with pytest.raises(UsageError, match=reason):
            compress(run, images, **arguments)
    with pytest.raises(UsageError, match="contains no model"):
        decompress(tmp_path / "x.lb")
    with pytest.raises(UsageError, match="there is no example 30"):
        decompress(tmp_path / "x.lb", run, example=30)
    untrained_run(tmp_path / "other", str(images), likelihood="discretized-logistic", hidden=[7])
    with pytest.raises(DataError, match="another model"):
        decompress(tmp_path / "x.lb", tmp_path / "other")


def test_progress_ends_with_all_examples(photos, tmp_path):
    reports = []
    compress(photos / "run", photos / "images", tmp_path / "x.lb", block=20, progress=lambda *n: reports.append(n))
    assert reports[-1] == (30, 30) and reports == sorted(reports)
    read = []
    decompress(tmp_path / "x.lb", photos / "run", progress=lambda *n: read.append(n))
    assert read == [(20, 30), (30, 30)]


def test_without_the_library_the_extra_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(UsageError, match=r"pip install 'lowerbound\[codec\]'"):
        compress(photos / "run", photos / "images", tmp_path / "x.lb")


def test_a_run_that_draws_binary_pixels_takes_images_that_are_binary(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (20, 6, 6)).astype(np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    trained = untrained(str(tmp_path / "grey.npy"), {"binarisation": "dynamic"}, likelihood="bernoulli")
    lb.save(trained, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="not on the 2 even levels from 0 to 255"):
        compress(tmp_path / "model.safetensors", grey, tmp_path / "x.lb")
    binary = (grey > 99).astype(np.uint8) * 255
    compress(tmp_path / "model.safetensors", binary, tmp_path / "x.lb")
    same(decompress(tmp_path / "x.lb", tmp_path / "model.safetensors").values, binary)
