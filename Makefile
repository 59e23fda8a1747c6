# Every target stands alone on a fresh clone. The virtual environment .venv is made on first use and made anew when
# setup.cfg or pyproject.toml changed; the package is installed in editable mode.

PYTHON ?= python3
PYTEST_ARGS ?= -n 2 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SPEC := examples/deep_linear.toml
DEMO := demo

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all lint bench docs docs-quick release-check clean

help:
	@echo "make demo      derive, run, simulate, compare and plot $(SPEC); results in demo/"
	@echo "make test      the tests, in at most eight minutes on two cores"
	@echo "make test-all  all tests, those that are marked slow too"
	@echo "make lint      ruff (rules and format) and mypy"
	@echo "make bench     the benchmarks: ratios measured in one run (up to 7 GB of memory)"
	@echo "make docs      the documentation as HTML in docs/_build/html: pages and gallery are executed, at most ten minutes"
	@echo "make docs-quick  the same with few pages executed and no gallery, as continuous integration builds it"
	@echo "make release-check  build wheel and source distribution, and run the demo with each in new environments"
	@echo "make clean     remove everything that the targets above made, .venv included"

$(VENV)/.installed: setup.cfg pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) install --editable '.[docs]'
	@touch $@

demo: $(VENV)/.installed
	mkdir -p $(DEMO)
	$(BIN)/dmft-sym derive $(SPEC) --latex $(DEMO)/deep_linear.tex
	$(BIN)/dmft-sym run $(SPEC) -o $(DEMO)/theory.nc
	$(BIN)/dmft-sym simulate $(SPEC) --dim 1000 --seeds 4 -o $(DEMO)/simulation.nc
	$(BIN)/dmft-sym compare $(DEMO)/theory.nc $(DEMO)/simulation.nc --figure $(DEMO)/comparison.png
	$(BIN)/dmft-sym plot $(DEMO)/theory.nc --sim $(DEMO)/simulation.nc -o $(DEMO)/deep_linear.png
	$(BIN)/dmft-sym plot $(DEMO)/theory.nc --kind order-parameters -o $(DEMO)/order_parameters.png

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	@status=0; for check in "ruff check ." "ruff format --check ." mypy; do \
		echo "$$check"; $(BIN)/$$check || status=1; \
	done; exit $$status

bench: $(VENV)/.installed
	set -e; for script in benchmarks/*.py; do $(BIN)/python "$$script"; done

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -j 2 -b html docs docs/_build/html

docs-quick: $(VENV)/.installed-docs
	DOCS_QUICK=1 $(BIN)/python -m sphinx -W --keep-going -q -j 2 -b html docs docs/_build/quick

release-check:
	bash tools/release_check

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/auto_gallery *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
