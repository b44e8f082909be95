# The environment is .venv, made from PYTHON and installed again when its inputs change.
# VENV=PATH on the command line uses that environment as it is and installs nothing.
PYTHON ?= python3
VENV ?= .venv
FLICKR8K ?=
TRAIN ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORE := $(VENV)/.installed-core

# Touching fresh memory is slow on some machines, and PyTorch asks for it at every step: a jemalloc
# that keeps freed pages saves that time. It is used where found on Linux; JEMALLOC= turns it off.
ifeq ($(shell uname -s),Linux)
JEMALLOC ?= $(firstword $(wildcard /usr/lib/$(shell uname -m)-linux-gnu/libjemalloc.so.2 \
	/usr/lib64/libjemalloc.so.2 /usr/lib/libjemalloc.so.2 /usr/local/lib/libjemalloc.so.2))
endif
KEEP_PAGES := MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:1
RUN := $(if $(JEMALLOC),LD_PRELOAD="$(JEMALLOC)$${LD_PRELOAD:+:$$LD_PRELOAD}" $(KEEP_PAGES))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo docs test stress lint audit clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)
	@echo '  FLICKR8K=PATH with demo or test uses that corpus, VENV=PATH an environment you have.'

install: $(STAMP) ## make .venv with everything that the other targets need

# The demo needs what a person who searches needs; training it needs all.
demo: $(if $(TRAIN)$(FLICKR8K),$(STAMP),$(CORE)) ## index sample photos and search them; TRAIN=1 trains and evaluates a model first
	$(RUN) $(BIN)/user-itr demo --out demo$(if $(TRAIN), --train)$(if $(FLICKR8K), --flickr8k "$(FLICKR8K)")

docs: $(STAMP) ## build the documentation's site in site/
	$(BIN)/python -m mkdocs build --strict

# Two processes: many tests wait for others that they start. The tests of one file stay together.
test: $(STAMP) ## run the tests with coverage
	$(RUN) $(BIN)/python -m pytest --cov -n 2 --dist loadfile

stress: $(STAMP) ## break things for an hour: kills, Ctrl-C, long runs (tests/stress)
	for script in kill_training kill_features kill_index "kill_index --restless" torn_index ctrl_c \
		shuffled_index determinism long_training long_index attack_server; do \
		set -- $$script; name=$$1; shift; echo "== $$script"; \
		$(BIN)/python tests/stress/$$name.py "$$@" || exit 1; done

lint: $(STAMP) ## check style, formatting, types, layers, and what bandit knows of security
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m bandit --quiet --configfile pyproject.toml --recursive src

# The pinned packages against the public lists of known vulnerabilities, which needs the network.
audit: $(STAMP) ## compare the pinned packages with the known vulnerabilities, online
	@$(BIN)/python -c 'import pip_audit' 2>/dev/null || \
		{ echo "this needs pip-audit; run: $(BIN)/python -m pip install pip-audit" >&2; exit 1; }
	@$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement constraints.txt || { echo "audit: something is known to be vulnerable," \
		"or the service could not be asked, as offline (see above)" >&2; exit 1; }

clean: ## remove .venv, caches, build outputs and the demo's folder; runs/ stays
	rm -rf .venv demo site build dist htmlcov .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	find $(wildcard src tests benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

ifeq ($(origin VENV),file)
# The version in __init__.py is copied into the installed metadata.
$(STAMP): pyproject.toml constraints.txt src/user_itr/__init__.py | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@ $(CORE)

$(CORE): pyproject.toml constraints.txt src/user_itr/__init__.py | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) needs to be Python 3.10 or later with venv (Debian: python3-venv);" \
		"name another with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
else
.PHONY: $(STAMP) $(CORE)
$(STAMP) $(CORE):
	@test -x $(BIN)/python || { echo "VENV=$(VENV) holds no bin/python" >&2; exit 1; }
endif
