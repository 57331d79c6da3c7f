"""Tables of log-densities take a bounded amount of memory, whatever the family: measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lowerbound.probability.likelihoods import LIKELIHOODS

MEASURE = """
import json, sys, torch
from pathlib import Path
from lowerbound.probability.likelihoods import LIKELIHOODS

def mib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024

torch.set_num_threads(1)
peaks = {}
cases, most = json.loads(sys.argv[1])
for name, options in cases:
    shape = (40,) if name == "table" else (1, 28, 28)
    likelihood = LIKELIHOODS[name](shape, **options)
    distribution = likelihood(torch.zeros(64, *likelihood.raw_shape))
    values = torch.zeros(4000, *shape)
    distribution.log_prob_table(values[:300])
    # The least of three: library pages that the system dropped and reads again would count as memory, once.
    rises = []
    for _ in range(3):
        Path("/proc/self/clear_refs").write_text("5")
        before = mib("VmRSS")
        with torch.no_grad():
            distribution.log_prob_table(values)
        rises.append(mib("VmHWM") - before)
        if rises[-1] < most:
            break
    peaks[f"{name} {options}"] = min(rises)
print(json.dumps(peaks))
"""

MOST = 100
"""MiB. All pairs of a value and a distribution at once would be 766 MiB for each of some ten arrays in 32 bits."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says what the peak of memory was")
def test_a_table_of_thousands_of_images_takes_a_bounded_amount_of_memory():
    options = {"categorical": {"num_levels": 4}, "discretized-logistic": {"num_levels": 32}}
    cases = [(name, options.get(name, {})) for name in LIKELIHOODS]
    cases.append(("discretized-logistic", {"num_levels": 32, "num_components": 3}))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps((cases, MOST))], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    peaks = json.loads(run.stdout)
    assert len(peaks) == len(cases)
    assert {name: peak for name, peak in peaks.items() if peak > MOST} == {}
