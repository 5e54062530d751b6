# make test     everything CI checks: ruff, mypy, import-linter, pytest
# make demo     a tour on the CPU          make bench     the measurements of benchmarks/
# make test-browser   the page of plm serve in a real Chromium: the system's, or else one that is put into .venv
# make docs     the pages of docs/ as a site in site/, with the reference made of the docstrings
# make format   rewrite the sources in the house format
# make clean    remove caches and build products; distclean removes the environment too
#
# Needs Python 3.11 or newer and nothing else: the first run builds the environment in .venv, later ones reuse it.
# Another interpreter: make PYTHON=python3.12 test. More for pytest: make test PYTEST_ARGS="-k hub -x".

PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
PIP    := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CORE   := $(VENV)/.core-installed
DEV    := $(VENV)/.dev-installed

.PHONY: test test-browser demo bench docs format clean distclean

# Tests use tiny tensors: more threads only wait for each other.
test test-browser: export OMP_NUM_THREADS ?= 1
# playwright keeps its browser inside its own package.
test test-browser: export PLAYWRIGHT_BROWSERS_PATH ?= 0
test: $(DEV)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m pytest $(PYTEST_ARGS)

test-browser: $(DEV)
	@$(PIP) playwright
	@command -v chromium || command -v chromium-browser || command -v google-chrome || $(RUN) -m playwright install chromium
	$(RUN) -m pytest -rs tests/browser $(PYTEST_ARGS)

demo: $(CORE)
	$(RUN) examples/demo.py

bench: $(CORE)
	$(RUN) -m benchmarks $(BENCH_ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(CORE)
	@$(PIP) --editable ".[docs]"
	$(RUN) -m docs.tools.compatibility
	$(RUN) -m mkdocs build --strict

format: $(DEV)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# The marks are written last, so an interrupted install is simply done again. An environment that was left half made,
# or whose Python has gone, is made anew.
ifneq (3,$(shell $(RUN) -c 'import sys; print(sys.version_info[0])' 2>/dev/null))
.PHONY: $(CORE)
endif

$(CORE): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("plm needs Python 3.11 or newer, got " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	@$(RUN) -m pip --version >/dev/null 2>&1 || { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing plm and what it needs into $(VENV); the first time takes minutes, torch is large"
	@$(PIP) --editable ".[metrics,plot]"
	@touch $@

$(DEV): $(CORE)
	@echo "installing the tools for development"
	@$(PIP) --editable ".[dev]"
	@touch $@

clean:
	rm -rf build dist site *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
