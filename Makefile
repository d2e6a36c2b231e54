PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLOTS := $(VENV)/.plots

.DEFAULT_GOAL := help

# What some environments set, and others do not: with the first the tests compile themselves and the program each time.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## run the job: against CHIRPSTACK_URL if it is set, otherwise against a simulated v4 and v3
	@$(BIN)/python -m tests.demo

test: $(READY) ## all tests that need no Docker
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: $(READY) ## the same with the fault sweeps whole
	FULL_SWEEP=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reliability: $(READY) ## the fault sweeps whole, and docs/reliability.md written anew
	$(BIN)/python -m tests.faults.report

bench: $(PLOTS) ## measure, and write docs/performance.md; real servers: CHIRPSTACK_TEST_V3_URL, CHIRPSTACK_TEST_V4_URL
	@if docker info >/dev/null 2>&1; then $(MAKE) bench-containers; else $(BIN)/python -m bench; fi

pictures: $(PLOTS) ## draw docs/pictures: `make run` on a terminal, and the figures in docs/performance.md
	$(BIN)/python -m tests.picture
	$(BIN)/python -m bench.plots

proto: $(READY) ## generate the v4 messages from init_job/servers/chirpstack.proto
	$(BIN)/python -m grpc_tools.protoc -Iinit_job/servers --python_out=init_job/servers --pyi_out=init_job/servers \
		init_job/servers/chirpstack.proto

lock: $(READY) ## pin every dependency anew, with hashes
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --upgrade pyproject.toml --group dev \
		-c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --upgrade --group plots \
		-c requirements-dev.lock -o requirements-plots.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		tests/container/stores.in -o tests/container/stores.lock

setup: $(READY) ## make the virtual environment that the other targets use

$(READY): requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(PLOTS): $(READY) requirements-plots.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-plots.lock
	@touch $@

include container.mk

.PHONY: help run test test-all reliability bench pictures lint format proto lock setup
