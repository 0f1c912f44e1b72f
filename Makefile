# One command per chore. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3.11
VENV := .venv
DEMO_VENV := .venv-demo
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt
INPUTS := pyproject.toml constraints.txt hatch_build.py

.DEFAULT_GOAL := help
.PHONY: help demo test lint type bench build clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(DEMO_VENV)/.ready: $(INPUTS)
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install $(PIP_FLAGS) -e ".[sim]"
	touch $@

$(VENV)/.ready: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) torch
	$(BIN)/pip install $(PIP_FLAGS) -e ".[dev]"
	touch $@

demo: $(DEMO_VENV)/.ready  ## install base and simulation, run the demonstration
	$(DEMO_VENV)/bin/physai demo --out demo

test: $(VENV)/.ready  ## install everything, run all tests
	$(BIN)/python -m pytest

lint: $(VENV)/.ready  ## style, formatting, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(VENV)/.ready  ## static types, strict
	$(BIN)/mypy

bench: $(VENV)/.ready  ## the benchmark table
	$(BIN)/physai bench

build: $(VENV)/.ready  ## wheel and source distribution in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove environments and build results
	rm -rf $(VENV) $(DEMO_VENV) dist build
