# `make demo` and `make test` need only Python >= 3.11 and make; everything lives in .venv.
# A second run installs nothing; a change of pyproject.toml or constraints.txt installs anew.

PYTHON ?= python3
WORKERS ?= 2
OUT ?= out/demo

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NEEDS := pyproject.toml constraints.txt | $(BIN)/pip

export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint format types pytest bench reproduce dev clean

help: ## List what can be made.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: $(VENV)/.core ## The whole path on a small generated shop; results in out/demo.
	$(BIN)/mmq demo --out $(OUT)

test: lint types pytest ## What CI runs: lint, formatting, types, tests.

lint: $(VENV)/.test ## Lint and check the formatting.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.test ## Check the types.
	$(BIN)/mypy

pytest: $(VENV)/.test ## Tests, doctests and the examples of the documents.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

format: $(VENV)/.test ## Format the code and mend what lint can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## Run every benchmarks/bench_*.py; figures go to benchmarks/results.
	@for name in $(basename $(notdir $(wildcard benchmarks/bench_*.py))); do \
	  echo "$$name"; $(BIN)/python -m "benchmarks.$$name" || exit 1; done

reproduce: $(VENV)/.core ## The tables and figures of the paper on a generated shop; in out/paper.
	$(BIN)/mmq reproduce all --out out/paper

dev: $(VENV)/.dev ## All extras, and the checks before every commit.
	$(BIN)/pre-commit install

clean: ## Remove .venv, caches and results.
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, one for each set of extras, so that `make demo` fetches no more than it needs.
$(VENV)/.core: $(NEEDS)
	@echo "installing mmq into $(VENV) (torch is large: this may take a few minutes)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.test: $(NEEDS)
	@echo "installing mmq and its test tools into $(VENV) (torch is large: some minutes)"
	@$(INSTALL) -e '.[encoders,test]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: $(NEEDS)
	@echo "installing mmq with all extras into $(VENV) (torch is large: some minutes)"
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.core

# pip comes last into a new environment: where it is, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("mmq needs Python 3.11 or newer, this is " \
	  + sys.version.split()[0] + "; run: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@
