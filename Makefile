# make install   a virtual environment with everything the package needs
# make demo      train both reference models on the embedded digits and print where the report lies
# make test      all tests;  make check: lint and types

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Extra arguments for pip. On Linux without a GPU, PyTorch's CPU builds spare several gigabytes; their index is
# named on https://pytorch.org/get-started/locally: make install PIP_ARGS="--extra-index-url URL"
PIP_ARGS ?=
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

.PHONY: install demo test test-slow check clean

install: $(VENV)/.installed

demo: install
	$(BIN)/lowerbound demo

test: $(VENV)/.installed-test
	$(BIN)/pytest -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/pytest -m slow

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch goes first: an open range would fetch the newest CUDA build whatever the constraints say of other packages.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist
