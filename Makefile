# Each target works on a fresh machine with Python 3.11 or newer and nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The newest interpreter of 3.11 or later that really runs (a version manager may leave shims that do not).
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
export DAGSTER_HOME := $(CURDIR)/dagster_home
# Images like to set this; then each process compiles Dagster and pandas anew, which takes longer than what it is for.
unexport PYTHONDONTWRITEBYTECODE
# A file is one worker's: what its tests share is made once. More workers than cores: browsers and servers are waited for.
TEST_WORKERS ?= -n 4 --dist loadfile --no-loadscope-reorder
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: help docs run tour test test-faults lint format dev bench bench-search bench-quality clean lock install install-dev

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: install ## the whole loop once, on real prices: backtests, meta-model, risk policy, search, proposals
	@$(BIN)/meta-pipeline lab run
	@$(BIN)/meta-pipeline model train --lab
	@$(BIN)/meta-pipeline live replay
	@$(BIN)/meta-pipeline policy evaluate --scope lab
	@$(BIN)/meta-pipeline search declare FOREST_SP500 --symbols SP500 --set n_folds=3 >/dev/null
	@$(BIN)/meta-pipeline search run --strategy FOREST_SP500 --r 9
	@$(BIN)/meta-pipeline nightly
	@echo; echo "The UI: make dev, then open http://127.0.0.1:3000. One change from approval to undo: make tour."

tour: install ## approve one proposal through the gate, apply it, look at it, revert it
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/tour

# One thread of linear algebra per worker: with more threads than cores, each small product waits for its other half.
test: install-dev ## every test; with CI=true nothing may be skipped
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_WORKERS) --durations 10

test-faults: install-dev ## faults at every step of governance, random sequences; writes docs/reliability.md; DEPTH=quick: less
	@$(BIN)/python -m meta_pipeline_tests.faults --depth $(or $(DEPTH),deep) --minutes $(or $(MINUTES),10)

lint: install-dev ## ruff, mypy strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: install-dev ## rewrite the code in the house's format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

dev: install ## Dagster's UI and daemon, on the embedded database
	@$(BIN)/dagster dev -w workspace.yaml

bench: install-dev ## every benchmark: ours beside a named rival, in the same run
	@for benchmark in benchmarks/[a-z]*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

bench-search: install-dev ## the search's regret beside Optuna's Hyperband, bookkeeping, a whole iteration, the simulator, and noise
	@$(BIN)/python -m benchmarks.search
	@$(BIN)/python -m benchmarks.simulator
	@$(BIN)/python -m benchmarks.search_honesty

bench-quality: $(VENV)/.installed-bench ## proposals on campaigns with a planted truth, beside two rivals; writes docs/proposal-quality.md
	@$(BIN)/python -m benchmarks.proposal_quality --full

clean: ## stop the embedded database; remove the environment, caches and local state
	@-test -x $(BIN)/meta-pipeline && $(BIN)/meta-pipeline db stop
	@rm -rf $(VENV) .meta_pipeline .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@cd dagster_home && git clean -fdxq . 2>/dev/null || true

docs: install ## write docs/cli.md anew, from the commands
	@$(BIN)/python -m meta_pipeline.cli.reference > docs/cli.md

lock: install-dev ## write the lock files anew
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lock

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/uv: requirements-uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $(BIN)/uv

# The lock names versions and hashes; the package itself is installed from this folder.
$(VENV)/.installed: $(BIN)/uv requirements.lock pyproject.toml
	@echo "Installing meta_pipeline into $(VENV) ..." >&2
	@$(UV) --require-hashes -r requirements.lock
	@$(UV) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev requirements-bench.lock
	@$(UV) --no-deps --require-hashes -r requirements-bench.lock
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@$(UV) --require-hashes -r requirements-dev.lock
	@touch $@
