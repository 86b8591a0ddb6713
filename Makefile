# `make help` lists what there is. Only Python 3.11 or newer, git and make are needed: everything else goes into .venv.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV ?= .venv
SCALE ?= cpu
LAUNCHER ?= local

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
PINS = $(VENV)/pins-$(notdir $(CONSTRAINTS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test check lint reproduce-all clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

train: $(VENV)/installed  ## install what is missing, then teach an S5 agent to adapt in context (at most 20 minutes)
	$(VENV)/bin/python -m icrl train experiments/meta_brax.yaml

test: $(VENV)/installed-dev  ## install what is missing, then run the tests [PYTHON=python3.13] [CONSTRAINTS=constraints-oldest.txt]
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: lint test  ## what CI runs: lint, formatting, types and tests

lint: $(VENV)/installed-dev  ## lint, formatting and types only
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m pyright --pythonpath $(VENV)/bin/python

reproduce-all: $(VENV)/installed-dm-control $(if $(filter slurm,$(LAUNCHER)),$(VENV)/installed-cluster)
reproduce-all:  ## train and record all that is published, then report [SCALE=cpu] [LAUNCHER=local]
	$(VENV)/bin/python -m icrl reproduce --scale $(SCALE) --launcher $(LAUNCHER)

clean:  ## remove .venv and caches; results stay
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Files are not compiled to bytecode ahead of their first import: most never are imported, and it takes half the time.
# The stamps are newer than what they were made from: a changed pyproject.toml, changed or other constraints install again.
$(VENV)/installed: pyproject.toml $(PINS)
	@echo "installing icrl and what it needs into $(VENV)"
	$(PIP) install --quiet --no-compile --editable . -c $(CONSTRAINTS)
	@touch $@

$(VENV)/installed-dm-control: pyproject.toml $(PINS)
	@echo "installing icrl, what it needs and MuJoCo Playground into $(VENV)"
	$(PIP) install --quiet --no-compile --editable '.[dm-control]' -c $(CONSTRAINTS)
	@touch $(VENV)/installed $@

$(VENV)/installed-cluster: pyproject.toml $(PINS)
	@echo "installing what a cluster's queue needs into $(VENV)"
	$(PIP) install --quiet --no-compile --editable '.[cluster]' -c $(CONSTRAINTS)
	@touch $(VENV)/installed $@

$(VENV)/installed-dev: pyproject.toml $(PINS)
	@echo "installing icrl, what it needs and the test tools into $(VENV)"
	$(PIP) install --quiet --no-compile --editable '.[dev]' -c $(CONSTRAINTS)
	@touch $(VENV)/installed $@

$(PINS): $(CONSTRAINTS) $(VENV)/bin/pip
	@rm -f $(VENV)/pins-*
	@cp $(CONSTRAINTS) $@

# A Python that is named on the command line and is another than that of .venv makes it anew.
version_of = $(shell $(1) -c 'import sys; print(sys.version)' 2>/dev/null)
ifeq ($(origin PYTHON),command line)
ifneq ($(call version_of,$(PYTHON)),$(call version_of,$(VENV)/bin/python))
.PHONY: $(VENV)/bin/pip
endif
endif

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON): got $$($(PYTHON) --version 2>/dev/null || echo no such program); expected Python 3.11 or newer;" \
	       "name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
