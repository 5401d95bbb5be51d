# Every target makes the environment it needs; nothing outside this folder is touched but pip's cache and,
# in ~/.cache/ablate, the compiled triangulation.
# Another interpreter: make PYTHON=python3.12 test.  More arguments: make run ARGS="scale=standard".

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread per process: the workers share the cores, and results do not depend on how many there are.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# Benchmarks run without the annotation checks of the test suite; what they measure is saved under .benchmarks.
BENCH := --strict-markers --import-mode=importlib -rs
SAVED := --benchmark-autosave --benchmark-columns=median,iqr,rounds --benchmark-name=short

.DEFAULT_GOAL := help
.PHONY: help run test lint bench chaos

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## make the environment and run studies/sportcenter_weights.yaml at quick scale
	$(BIN)/ablate run studies/sportcenter_weights.yaml $(ARGS)

test: $(READY) ## run the tests
	$(THREADS) $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --benchmark-disable $(ARGS)

lint: $(READY) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(PEERS) ## run the benchmarks and renew their table
	$(THREADS) $(BIN)/python -m pytest -q -m bench -o addopts="$(BENCH)" $(SAVED) tests/bench $(ARGS)

chaos: $(READY) ## run the tests that kill processes
	$(BIN)/python -m pytest -q -m chaos tests/chaos $(ARGS)

# torch first and alone: the rest then takes whichever build of it the machine offers. Without a compiler the last step
# says so, and everything works.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[dev]'
	$(BIN)/python -m core.geometry.native.build
	@touch $@

# What only benchmarks compare with.
$(PEERS): $(READY)
	$(PIP) -e '.[bench]'
	@touch $@
