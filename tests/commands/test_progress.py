"""A long command is asked to stop by a signal, whatever it is doing."""

import signal

from lowerbound.commands import console
from lowerbound.commands.progress import StopRequest


def test_a_signal_that_comes_in_the_midst_of_printing_is_a_request_all_the_same(capfd, monkeypatch):
    def half_done(*words):
        raise ImportError("partially initialized module")

    monkeypatch.setattr(console.err, "print", half_done)
    request = StopRequest()
    request.receive(signal.SIGINT, None)
    assert request()
    assert "stopping after this step" in capfd.readouterr().err
