"""The tab key in bash completes commands, options and names of recipes, without importing torch."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def completed(tmp_path, line):
    """What bash offers after a line, by the script that `--show-completion` prints."""
    command = tmp_path / "lowerbound"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -X importtime -m lowerbound "$@" 2>>{tmp_path}/imports\n')
    command.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    script = f"""
        eval "$(_LOWERBOUND_COMPLETE=source_bash lowerbound)"
        COMP_WORDS=({line}) COMP_CWORD=$(({len(line.split())} - 1))
        $(complete -p lowerbound | sed 's/.*-F \\([^ ]*\\) .*/\\1/') lowerbound
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    shown = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return shown.stdout.split(), (tmp_path / "imports").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lowerbound tr", ["train"]),
        ("lowerbound train --lat", ["--latent-dim"]),
        ("lowerbound train digits --recipe best", ["best-2d"]),
    ],
)
def test_bash_completes_what_was_begun(tmp_path, line, expected):
    offered, imports = completed(tmp_path, line)
    assert offered == expected
    assert "site" in imports and " torch" not in imports
