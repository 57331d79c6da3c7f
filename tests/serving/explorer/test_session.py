"""What is open: read once, computed once, and never in the way of a pointer."""

import asyncio
import threading
from functools import partial

import numpy as np
import pytest

from explorer_runs import copied, trained
from lowerbound.foundation.errors import DataError, RunError, UsageError
from lowerbound.serving.explorer import session as module
from lowerbound.serving.explorer.latents import encode_chunk
from lowerbound.serving.explorer.points import load_points
from lowerbound.serving.explorer.session import INTERACTIVE_LATENTS, MAX_OPEN_RUNS, Explorer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "digits")


@pytest.fixture
def explorer(run):
    explorer = Explorer(run, device="cpu")
    yield explorer
    explorer.close()


def opened_by(explorer, name="digits"):
    return explorer.open(explorer.folder.find(name))


def counted(monkeypatch, name, function):
    """Let a function of the module count how often it is called."""
    calls = []

    def counting(*arguments):
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_data_and_codes_are_had_once_however_many_ask(explorer, monkeypatch):
    loads, encodes = (
        counted(monkeypatch, "load_points", load_points),
        counted(monkeypatch, "encode_chunk", encode_chunk),
    )

    async def ask():
        opened = await opened_by(explorer)
        return await asyncio.gather(*(opened.latents() for _ in range(5)), opened.points())

    *codes, points = asyncio.run(ask())
    assert len(loads) == 1
    assert len(encodes) == 10 + 2 + 3  # parts of 128 in 1,257, 180 and 360 examples
    assert all(each is codes[0] for each in codes)
    assert len(codes[0]) == len(points)


def test_codes_are_computed_to_their_end_when_the_one_who_asked_goes_away(explorer):
    async def ask():
        opened = await opened_by(explorer)
        impatient = asyncio.create_task(opened.latents())
        while not opened.done:
            await asyncio.sleep(0.001)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        return await opened.latents()

    assert len(asyncio.run(ask())) == 1797


def test_codes_are_given_before_all_are_computed(explorer, monkeypatch):
    release = threading.Event()

    def waiting(loaded, points, chunk):
        assert chunk == (0, 0) or release.wait(10)
        return encode_chunk(loaded, points, chunk)

    monkeypatch.setattr(module, "encode_chunk", waiting)

    async def ask():
        opened = await opened_by(explorer)
        # The first part waits for a worker that is held by the second one: for a part in between there is no time.
        first = await asyncio.wait_for(asyncio.gather(opened.latents_from(0), _soon(release)), 10)
        return first[0], await opened.latents()

    part, whole = asyncio.run(ask())
    assert 128 <= len(part) < 1797
    np.testing.assert_array_equal(part.mean, whole.mean[: len(part)])
    np.testing.assert_array_equal(part.labels, whole.labels[: len(part)])


async def _soon(event):
    await asyncio.sleep(0.2)
    event.set()


def test_a_run_is_described_while_its_data_are_read(explorer, monkeypatch):
    release = threading.Event()

    def waiting(*arguments):
        assert release.wait(10)
        return load_points(*arguments)

    monkeypatch.setattr(module, "load_points", waiting)

    async def ask():
        opened = await opened_by(explorer)
        assert opened.start_loading()
        release.set()
        await opened.points()
        return opened.start_loading()

    assert asyncio.run(ask()) is False


def test_a_pointer_and_a_question_are_answered_while_codes_are_computed(explorer, monkeypatch):
    begun, release = threading.Event(), threading.Event()

    def waiting(loaded, points, chunk):
        begun.set()
        assert release.wait(10)
        return encode_chunk(loaded, points, chunk)

    monkeypatch.setattr(module, "encode_chunk", waiting)

    async def ask():
        opened = await opened_by(explorer)
        codes = asyncio.create_task(opened.latents())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        # Its worker is held by a part that does not end: a pointer has another one.
        z = np.zeros((INTERACTIVE_LATENTS, 2), np.float32)
        pointed = await asyncio.wait_for(explorer.decode(opened.loaded, z), 10)
        assert opened.done == 0
        question = asyncio.create_task(explorer.batch_worker(partial(len, "four")))
        await asyncio.sleep(0)
        release.set()
        assert await question == 4
        assert opened.done < 1797
        return pointed, await codes

    pointed, codes = asyncio.run(ask())
    assert pointed["images"].shape == (INTERACTIVE_LATENTS, 8, 8, 3)
    assert len(codes) == 1797


def test_runs_that_were_left_long_ago_are_closed(run, tmp_path):
    for number in range(MAX_OPEN_RUNS + 2):
        copied(run, tmp_path / f"{number}")
    explorer = Explorer(tmp_path, device="cpu")

    async def ask():
        for number in range(MAX_OPEN_RUNS + 2):
            await opened_by(explorer, f"{number}")
            await opened_by(explorer, "1" if number else "0")
        return [path.name for path in explorer.open_runs]

    names = asyncio.run(ask())
    explorer.close()
    assert names == ["3", "4", "5", "1"]


def test_a_run_that_is_open_is_opened_once(explorer):
    async def ask():
        together = await asyncio.gather(*(opened_by(explorer) for _ in range(5)))
        return {id(opened) for opened in (*together, await opened_by(explorer))}

    assert len(asyncio.run(ask())) == 1


def test_what_cannot_be_opened_says_so_and_is_marked(run, tmp_path):
    path = copied(run, tmp_path / "a")
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    explorer = Explorer(tmp_path, device="cpu")
    with pytest.raises(RunError, match="checksum does not match"):
        asyncio.run(opened_by(explorer, "a"))
    explorer.close()
    assert explorer.folder.find("a").state == "broken"


def test_why_data_are_missing_names_them_and_not_their_place(run, tmp_path):
    copied(run, tmp_path / "a", source=str(tmp_path / "some where" / "photos"))
    explorer = Explorer(tmp_path, device="cpu")

    async def ask():
        opened = await opened_by(explorer, "a")
        assert await opened.points_or_none() is None
        with pytest.raises(DataError):
            await opened.points()
        return await opened.reason_without_points()

    reason = asyncio.run(ask())
    explorer.close()
    assert reason.startswith("The run's data, photos, are unavailable: photos ")
    assert str(tmp_path) not in reason
    assert "some where" not in reason


def test_moved_data_are_those_of_one_run(run, tmp_path):
    copied(run, tmp_path / "a")
    with pytest.raises(UsageError, match="contains several runs; give the one whose data were moved"):
        Explorer(tmp_path, data="digits.npy", device="cpu")
    explorer = Explorer(tmp_path / "a", data=str(tmp_path / "my digits.npy"), device="cpu")

    async def ask():
        return await (await opened_by(explorer, "a")).reason_without_points()

    reason = asyncio.run(ask())
    explorer.close()
    assert "my digits.npy" in reason
    assert str(tmp_path) not in reason
