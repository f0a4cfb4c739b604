# Needs nothing but Python 3.11+ and make; every target makes its own .venv with pinned packages.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt

.PHONY: demo test serve lint bench mutants acceptance docs clean

demo: .venv/.runtime                 ## analyse the bundled sick model over HTTP, offline
	$(BIN)/python deploy/demo/run.py

test: lint                           ## lint, types, import contract, tests; offline, no servers
	$(BIN)/python -m pytest --numprocesses 2

lint: .venv/.develop
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

acceptance: .venv/.develop           ## what starts servers, and a browser (chromium, skipped where it is not installed)
	$(BIN)/python -m pytest -m server --numprocesses 2 --dist loadgroup

serve: .venv/.runtime                ## the service on http://127.0.0.1:8000
	$(BIN)/gradient-health serve

bench: .venv/.develop                ## benchmarks, with their targets
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks

docs: .venv/.docs                    ## the documentation as a site, build/site/index.html; loads nothing from elsewhere
	$(BIN)/python -m mkdocs build --strict --quiet

mutants: .venv/.mutants              ## faults that tests should notice, hours; a part with ONLY="service/jobs analysis/report"
	$(BIN)/python -m tests.mutants $(ONLY)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/.runtime: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/.develop: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ .venv/.runtime

.venv/.docs: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[docs]'
	touch $@ .venv/.develop .venv/.runtime

.venv/.mutants: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[mutants]'
	touch $@ .venv/.develop .venv/.runtime

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
