# Three commands do everything on a Debian 12 with Python 3.11 and nothing else: `make demo`, `make test`, `make bench`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Quiet, but errors are shown; no questions: there may be no terminal.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq --retries 5
# More arguments for pytest: make test ARGS="tests/unit -k sigv4"
ARGS ?=

PACKAGING := pyproject.toml $(shell find etc labextension -type f -not -path '*/node_modules/*' -not -path '*/built/*' \
	-not -path '*/lib/*' -not -path '*/.yarn/*' -not -path '*/test/*')

.PHONY: help demo test bench lint labextension format clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

demo: $(VENV)/.demo ## Deploy and invoke a first function from a notebook, for real, and show what came of it
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.test ## Run every test; as root on Debian, installs Chromium, installs and starts a Docker engine
	@$(BIN)/python scripts/ensure_docker.py
	@$(BIN)/python scripts/ensure_clients.py
	@$(BIN)/python -m pytest $(ARGS)

# One part of it: make bench ARGS="warm burst"; their names: make bench ARGS=--list
bench: $(VENV)/.bench ## Measure it beside references and peers (20 minutes), and write docs/performance.md
	@JUPYTER_LAMBDA_REQUIRE_DOCKER=1 $(BIN)/python scripts/ensure_docker.py
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.lint ## ruff, mypy --strict, import-linter, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --config setup.cfg
	$(BIN)/codespell $$(git ls-files)

labextension: $(VENV)/.test ## Types, style and tests of the JupyterLab extension (Node.js on PATH)
	cd labextension && for step in install check lint test; do ../$(BIN)/jlpm $$step || exit 1; done

format: $(VENV)/.lint ## Write the code as the formatter would
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what make made (the virtual environment and the demo's files)
	rm -rf $(VENV) .demo

$(VENV)/.made:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/make_venv.sh
	@touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.lint: $(VENV)/.%: $(VENV)/.made $(PACKAGING)
	@echo "make: installing jupyter_lambda and what '$*' needs into $(VENV) (a minute or two the first time)"
	@$(PIP) install --editable ".[$*]"
	@test -e labextension/built/package.json || \
		echo "make: WARNING: without the JupyterLab panel, which could not be built: is npm in reach? \`pip install -v -e .\` says more"
	@touch $@
