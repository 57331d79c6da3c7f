# make install   a virtual environment with everything the package needs
# make demo      train both reference models on the bundled digits and print the path of the report
# make test      all tests;  make check: lint and types
# make test-oldest   the tests, but those of pages, with the package as a wheel and the oldest versions that pyproject.toml accepts
# make test-diffusers   what is exported for diffusers, against that library in an environment of its own
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
BENCHMARKS := training_throughput time_to_quality optimisers inference fast_paths thread_counts limits startup growth serving_throughput serving_load

.PHONY: install demo docs test test-slow test-diffusers test-oldest test-faults check browser bench bench-peers clean

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

# The package is installed as a wheel: tests find it there, not in src/. uv chooses the oldest accepted versions; on
# Linux UV_ARGS="--torch-backend cpu" spares gigabytes. Annotations are not checked: the checker follows new versions.
OLDEST := .venv-oldest
UV := $(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python
UV_ARGS ?=
PYTEST_OLDEST := $(OLDEST)/bin/pytest --override-ini addopts="-ra --strict-markers --import-mode=importlib"
test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check uv build
	rm -rf dist && $(OLDEST)/bin/python -m build --wheel --outdir dist .
	$(UV) $(UV_ARGS) --resolution lowest-direct --requirements pyproject.toml --extra tables 'pyparsing==3.2.5'
	$(UV) --no-deps dist/lowerbound-*.whl
	$(OLDEST)/bin/python -m pip freeze --exclude lowerbound > $(OLDEST)/versions.txt
	$(UV) --constraints $(OLDEST)/versions.txt pytest pytest-timeout pytest-xdist hypothesis 'httpx<0.28' pandas
	$(PYTEST_OLDEST) -m "not slow" $(PARALLEL)
	$(PYTEST_OLDEST) tests/end_to_end/test_installed.py

# The environment sees the packages of the tests' own one, so that PyTorch is not installed twice.
DIFFUSERS := .venv-diffusers
test-diffusers: $(VENV)/.installed-test
	$(PYTHON) -m venv --clear $(DIFFUSERS)
	$(BIN)/python -c "import site; print(site.getsitepackages()[0])" > $$(echo $(DIFFUSERS)/lib/python*/site-packages)/tests.pth
	$(DIFFUSERS)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt diffusers
	PYTHONPATH=src $(DIFFUSERS)/bin/python -m pytest tests/serving/portable/test_diffusers_form.py

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
	rm -rf $(VENV) $(OLDEST) benchmarks/.venvs runs build dist site
