"""Progress fits one line at every width; a long command is asked to stop by a signal, whatever it is doing."""

import io
import signal

import pytest

from lowerbound.commands import console, terminal
from lowerbound.commands.progress import (
    ProgressDisplay,
    StageDisplay,
    StopRequest,
    bar_texts,
    epoch_lines,
    longest_within,
)
from lowerbound.foundation.progress import MeanTerms, Progress

TERMS = MeanTerms(objective=-151.26, elbo=-151.26, rate=6.31, distortion=144.95, penalties={"mmd": 0.1234})
WIDTHS = [40, 60, 79, 80, 100, 120, 200]


def record(**changes):
    values = {
        "epoch": 120, "num_epochs": 120, "step": 11_900, "num_steps": 12_000, "learning_rate": 1e-3, "rate_scale": 1.0,
        "train": TERMS, "validation": TERMS, "is_best": True, "best_epoch": 120, "seconds": 600.0,
        "examples_per_second": 12_345.6, "seconds_left": 3_725.0,
    }  # fmt: skip
    return Progress(**values | changes)


def written(monkeypatch, width, is_terminal, draw):
    """What a display writes on standard error of a width."""
    stream = io.StringIO()
    options = {"force_terminal": is_terminal, "width": width, "highlight": False, "soft_wrap": True}
    monkeypatch.setattr(console, "err", terminal.PlainConsole(file=stream, legacy_windows=False, **options))
    draw()
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["", "run 12/16"])
def test_an_epoch_is_one_line_at_every_width_and_keeps_the_number_of_the_epoch(monkeypatch, width, name):
    def draw():
        display = ProgressDisplay(quiet=False)
        if name:
            display.begin(name)
        display.show(record(validation=TERMS))

    (line,) = written(monkeypatch, width, False, draw).splitlines()
    assert len(line) <= width
    assert "epoch 120/120" in line and "-151.26" in line


def test_a_line_without_a_terminal_says_how_long_training_will_take_from_80_columns_on(monkeypatch):
    for width in (80, 120, 200):
        line = written(monkeypatch, width, False, lambda: ProgressDisplay(quiet=False).show(record()))
        assert "1:02:05 left" in line
    assert "left" not in epoch_lines(record(), seconds_left=0.4)[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["", "run 12/16"])
def test_the_bar_fits_one_line_and_shows_the_time_that_remains(monkeypatch, width, name):
    def draw():
        display = ProgressDisplay(quiet=False)
        if name:
            display.begin(name)
        display.show(record(validation=None, step=6_000))
        task = display.bar.tasks[0]
        monkeypatch.setattr(type(task), "time_remaining", 725.0)
        console.err.print(display.bar.get_renderable())

    (line,) = terminal_text(written(monkeypatch, width, True, draw))
    assert len(line) <= width
    assert "epoch 120/120" in line and "12:05" in line and "\u2501" in line


@pytest.mark.parametrize("width", WIDTHS)
def test_a_stage_fits_one_line(monkeypatch, width):
    def draw():
        display = StageDisplay()
        display.show("annealing of log p(x), the bracket of simulated images and more", 30, 100)
        console.err.print(display.bar.get_renderable())

    (line,) = terminal_text(written(monkeypatch, width, True, draw))
    assert len(line) <= width
    assert "30 %" in line


def terminal_text(text):
    """The lines of a terminal's output without its escape sequences."""
    import re

    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines() if line.strip()]


def test_an_autoencoder_has_a_reconstruction_error_and_no_elbo():
    terms = MeanTerms(objective=-21.5, elbo=-21.5, rate=0.0, distortion=21.5)
    lines = [*epoch_lines(record(train=terms, validation=terms)), *bar_texts(record(train=terms))]
    assert not any("ELBO" in line or "rate" in line for line in lines)
    assert "reconstruction error: train 21.50, validation 21.50" in lines[1]


def test_the_longest_text_that_fits_is_chosen():
    assert longest_within(5, ("1234567", "12345", "1")) == "12345"
    assert longest_within(3, ("1234567", "12345")) == "123"


def test_a_signal_that_comes_in_the_midst_of_printing_is_a_request_all_the_same(capfd, monkeypatch):
    def half_done(*words):
        raise ImportError("partially initialized module")

    monkeypatch.setattr(console.err, "print", half_done)
    request = StopRequest()
    request.receive(signal.SIGINT, None)
    assert request()
    assert "stopping after this step" in capfd.readouterr().err
