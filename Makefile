# Two commands: `make demo` opens the page, `make test` checks a change. A second run skips what is there.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint docs benchmark

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:
	@echo "make demo       install, fetch the demo models, open the page"
	@echo "make test       lint, types and the quick tests, within ten minutes"
	@echo "make test-all   these and the long ones: fresh environments, hostile requests, the whole page in a browser"
	@echo "make lint       ruff and mypy alone"
	@echo "make docs       the reference of the command line, docs/cli.md"
	@echo "make benchmark  what a run, the page and a saved model cost on this machine"

$(VENV)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

demo: $(VENV)/installed
	$(BIN)/liar fetch-demo
	$(BIN)/python app.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/liar fetch-demo
	$(BIN)/pytest -m "not long" --numprocesses 2 --dist loadfile --durations 15

test-all: test
	$(BIN)/pytest -m long --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15

docs: $(VENV)/installed
	$(BIN)/typer liar.cli utils docs --name liar --title "On the command line" --output docs/cli.md

benchmark: $(VENV)/installed-dev
	$(BIN)/liar fetch-demo
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/saved.py
	$(BIN)/python benchmarks/estimates.py
