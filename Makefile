# make run: the app on its embedded dataset.
# make test: lint, import rules, types, unit tests, page tests and one browser test.
# make test-system: the other browser tests, object storage, kills, full disks, the notebook.
# They set up .venv first; after that no network is needed.
# make test-faults: kills each operation at every point where it writes, and at random moments.
# make test-extras: tests against the packages that LabelAudit works with but does not need.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# What pip would do with one core. Some packages have templates that cannot be compiled.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x /tests/ .venv/lib || true
unexport PYTHONDONTWRITEBYTECODE  # with it, each of the many processes would compile all modules

.PHONY: run test types unit-tests test-system test-faults test-extras bench docs notebook screenshots audit-packages clean

run: .venv/.app-installed
	$(BIN)/python -m labelaudit.ui

test: .venv/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory --jobs 2 types unit-tests  # types need one core

types: .venv/.dev-installed
	$(BIN)/mypy

unit-tests: .venv/.dev-installed
	$(BIN)/python -m pytest tests --ignore tests/extras -m "not system" -n 2 --dist worksteal

test-system: .venv/.dev-installed
	$(BIN)/python -m pytest tests --ignore tests/extras -m system -n 3 --dist loadfile  # they often wait

test-faults: .venv/.dev-installed
	LABELAUDIT_FAULTS=200 $(BIN)/python -m pytest tests/faults -s

test-extras: .venv-extras/.installed
	.venv-extras/bin/python -m pytest tests/extras

bench: .venv/.dev-installed
	$(BIN)/python benchmarks/walkthrough.py
	$(BIN)/python benchmarks/data_steps.py
	$(BIN)/python benchmarks/review.py
	$(BIN)/python benchmarks/recorder.py

docs: .venv/.dev-installed
	$(BIN)/python docs/api.py

notebook: .venv/.dev-installed
	$(BIN)/python docs/notebook.py

screenshots: .venv/.dev-installed
	$(BIN)/python docs/screenshots.py

# Known holes of the packages that are installed. Asks PyPI, and fails where it does not answer.
audit-packages: .venv/.app-installed
	$(BIN)/python -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > .venv-audit/packages.txt
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r .venv-audit/packages.txt

clean:
	rm -rf .venv .venv-extras .venv-audit

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: install a newer one, or make PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.app-installed: requirements.txt | .venv/bin/python
	$(INSTALL) -r requirements.txt
	$(COMPILE)
	touch $@

.venv/.dev-installed: requirements.txt requirements-dev.txt | .venv/bin/python
	$(INSTALL) -r requirements-dev.txt
	$(COMPILE)
	touch $@ .venv/.app-installed

# A second environment, which sees the first: torch is there once, and no extra can change the app's.
.venv-extras/.installed: requirements-extras.txt .venv/.dev-installed
	$(BIN)/python -m venv .venv-extras
	@site() { $$1/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }; \
		site .venv > "$$(site .venv-extras)/labelaudit-base.pth"
	.venv-extras/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-extras.txt
	touch $@
