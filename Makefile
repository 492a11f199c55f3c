# The commands of the README. PYTHON is the interpreter behind the virtual environment: make install PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install quickstart test leaderboard figures lint docs

# A torch that is already there is kept: the environment then sees the packages of PYTHON.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'genbench needs Python >= 3.11: make install PYTHON=...'; exit 2; }
	@$(PYTHON) -c 'import torch' 2>/dev/null && $(PYTHON) -m venv --system-site-packages .venv || $(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[docs]'
	@touch $@

install: .venv/installed

quickstart: install
	@$(BIN)/genbench bench quickstart

test: .venv/installed-dev
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# README, docs/ and the docstrings as pages in site/; warnings are errors
docs: .venv/installed-docs
	$(BIN)/python -m mkdocs build --strict

leaderboard: install
	$(BIN)/genbench bench leaderboard

# the figures in the README and in the headers of the recipes, from the records
figures: install
	$(BIN)/python -m genbench.leaderboard.recipe_figures
	$(BIN)/python -m genbench.leaderboard.readme_figures
	$(BIN)/python -m genbench.cli.model_table
