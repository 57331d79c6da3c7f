"""decoder_program: a run's decoder as an ONNX program with which the page decodes the point under the pointer itself.

The program is exported once for a model, and kept in the user's cache folder. This is done in a process of its own
(`python -m lowerbound.serving.explorer.page_decoder RUN`): while torch traces a network, it changes how modules are
called, for all threads.
"""

import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from lowerbound.foundation.errors import LowerboundError
from lowerbound.inference.network_cache import cached_file, read_network, write_network
from lowerbound.networks.layers import count_parameters
from lowerbound.networks.onnx_export import PACKAGES
from lowerbound.serving.explorer.loaded_run import LoadedRun, load_run
from lowerbound.serving.explorer.offline_models import decoder_model

MAX_PARAMETERS = 10_000_000  # of a decoder that a page downloads
MAX_SECONDS = 120.0
NAME = "page-decoder"


def can_decode(loaded: LoadedRun) -> bool:
    """Whether a page may ask for the decoder: the packages for export are installed, and it is not too large."""
    is_unknown = loaded.model.takes_context and loaded.model.encoding is None
    if loaded.engine == "torch" or is_unknown or any(find_spec(package) is None for package in PACKAGES):
        return False
    return count_parameters(loaded.model.decoder) <= MAX_PARAMETERS


def decoder_program(loaded: LoadedRun) -> bytes:
    """The decoder with log p(z); empty if it cannot be exported or kept, and the server has to decode."""
    if not can_decode(loaded):
        return b""
    file = cached_file(loaded.path, NAME)
    if content := read_network(file):
        return content
    command, nothing = (sys.executable, "-m", __name__, str(loaded.path.resolve())), subprocess.DEVNULL
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=MAX_SECONDS, check=False)
    return read_network(file) or b""


def main() -> None:
    """Export the decoder of the run that is the only argument."""
    loaded = load_run(Path(sys.argv[1]), "cpu")
    with suppress(LowerboundError):
        write_network(cached_file(loaded.path, NAME), decoder_model(loaded))


if __name__ == "__main__":
    main()
