# make run: the app on its embedded dataset.  make test: lint and tests.
# Both set up .venv first; after that no network is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test bench screenshots clean

run: .venv/.app-installed
	$(BIN)/python -m labelaudit.ui

test: .venv/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile  # much of it waits: for a browser, for a job

bench: .venv/.dev-installed
	$(BIN)/python benchmarks/walkthrough.py
	$(BIN)/python benchmarks/data_steps.py
	$(BIN)/python benchmarks/review.py

screenshots: .venv/.dev-installed
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: install a newer one, or make PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.app-installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.dev-installed: requirements.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ .venv/.app-installed
