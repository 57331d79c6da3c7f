# make install   a virtual environment with everything the package needs
# make demo      train both reference models on the bundled digits and print the path of the report
# make test      all tests;  make check: lint and types
# make docs      the documentation site in site/: lessons and code blocks are run, links are checked; about five minutes
# make browser   install Chromium with apt; without it the tests of pages are skipped
# make test-faults   fault injection: kills, full disks, damaged files, hostile input; about two hours on one core
# make bench     all benchmarks against peers and limits (hours), then the tables in docs/performance.md
# make bench-peers   install the peer libraries, each in its own environment

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Extra arguments for pip. On Linux without a GPU, PyTorch's CPU builds save several gigabytes; their index URL is on
# https://pytorch.org/get-started/locally: make install PIP_ARGS="--extra-index-url URL"
PIP_ARGS ?=
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

# Each test process uses one thread; test files are distributed in the order of tests/conftest.py. One process more than
# there are cores, because some wait for a browser or for another process; at most five.
WORKERS := $(shell $(PYTHON) -c "import os; print(min((os.cpu_count() or 1) + 1, 5))")
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# The environments of the peer libraries, and the scripts of `make bench`.
PEERS := $(or $(LOWERBOUND_PEERS),benchmarks/.venvs)
BENCHMARKS := training_throughput time_to_quality optimisers inference fast_paths limits startup growth serving_throughput serving_load

.PHONY: install demo docs test test-slow test-faults check browser bench bench-peers clean

install: $(VENV)/.installed

demo: install
	$(BIN)/lowerbound demo

docs: $(VENV)/.installed-docs
	$(BIN)/python -m docs.site.build

# Bytecode is written even where the environment forbids it: dozens of processes would compile the package again.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-test
	$(BIN)/pytest -m "not slow" $(PARALLEL)

test-faults: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.faults --without-figures

test-slow: $(VENV)/.installed-test
	$(BIN)/pytest -m slow

browser:
	command -v chromium || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || \
	  echo "Chromium could not be installed (root and apt are needed): tests of pages will be skipped."

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Environments given by LOWERBOUND_PEERS are used as they are.
bench: $(VENV)/.installed $(if $(LOWERBOUND_PEERS),,bench-peers)
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/tables.py

bench-peers: $(PEERS)/keras/.installed $(PEERS)/pythae/.installed

$(PEERS)/keras/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check $(PIP_ARGS) tensorflow-cpu==2.21.0 keras==3.15.1
	touch $@

$(PEERS)/pythae/.installed: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) torch
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) pythae==0.1.2
	touch $@

# torch is installed first: an open range would fetch the newest CUDA build, whatever the constraints on other packages.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) benchmarks/.venvs runs build dist site
