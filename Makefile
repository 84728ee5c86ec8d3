# One entry point. `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q install --only-binary :all:
CLIENTS := $(wildcard src/squib/environment/guest/python/*.txt)
ARGS ?=
SANDBOX_TESTS := $(addprefix tests/,integration/test_cgroup_delegation.py conformance/test_sandbox_driver.py \
  integration/test_clones.py integration/test_kill.py compat/test_compat_memory_budget.py)

# A Python that is new enough and can make environments; $(PYTHON) first, then the system's own (it is built
# with profile guidance, which functions feel), then whatever PATH offers.
define FIND_PYTHON
for python in "$${PYTHON:-}" /usr/bin/python3 /usr/bin/python3.1{4,3,2,1} python3 python3.1{4,3,2,1}; do \
  if [ -n "$$python" ] && "$$python" -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' \
    >/dev/null 2>&1; then break; fi; python=; \
done; \
if [ -z "$$python" ]; then \
  echo "squib needs Python 3.11 or newer with venv. Get it with one of:" >&2; \
  echo "  sudo apt-get install python3 python3-venv     (Debian 12, Ubuntu 24.04 and newer)" >&2; \
  echo "  sudo dnf install python3.12                   (Fedora, RHEL 9)" >&2; \
  echo "or name one: make setup PYTHON=/path/to/python3.12" >&2; \
  exit 1; \
fi
endef
export PYTHON

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: setup
setup: $(VENV)/.squib $(VENV)/.runtimes ## prepare .venv: squib, and a runtime for every interpreter found
	@echo "ready: $(BIN)/squib"

.PHONY: demo
demo: setup $(VENV)/.demo ## deploy and invoke two functions on a squib of its own; cold and warm times
	@$(BIN)/python examples/demo/demo.py $(ARGS)

.PHONY: check
check: setup $(VENV)/.dev ## format, lint, types, import contracts, unit tests
	@echo "== format"; $(BIN)/ruff format --check -q
	@echo "== lint"; $(BIN)/ruff check -q
	@echo "== types"; $(BIN)/mypy --no-error-summary
	@echo "== import contracts"; $(BIN)/lint-imports --no-logo
	@echo "== unit tests"; $(BIN)/python -m pytest -q -n 2 tests/unit tests/house

.PHONY: test
test: check $(VENV)/.demo ## everything: check, then the tests with real processes, sockets and sandboxes
	@echo "== all other tests"
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests --ignore=tests/unit --ignore=tests/house $(ARGS)

.PHONY: test-cgroup2
test-cgroup2: setup $(VENV)/.dev $(VENV)/.demo ## the tests of sandboxes, in a virtual machine with cgroup version 2
	@tests/vm/run env TEST_PATIENCE=20 $(BIN)/python -m pytest -v -p no:cacheprovider --timeout 1800 \
	  $(if $(ARGS),$(ARGS),$(SANDBOX_TESTS))

.PHONY: clients
clients: setup ## fetch the SAM CLI, cargo-lambda, chalice, moto and the JavaScript SDK, for the tests that drive them
	@requirements/clients/install

.PHONY: bench
bench: setup $(VENV)/.dev ## measure squib beside other ways to run the same function
	@bench/run $(ARGS)

.PHONY: runtimes
runtimes: $(VENV)/.squib ## look for interpreters again and install what they need
	@$(BIN)/squib runtimes install --all && touch $(VENV)/.runtimes

.PHONY: parity
parity: setup $(VENV)/.dev ## write docs/parity.md anew
	@PYTHONPATH=tests $(BIN)/python -m compat.scenarios.page > docs/parity.md.new && mv docs/parity.md.new docs/parity.md

.PHONY: lock
lock: ## pin requirements/*.in anew (needs uv)
	@requirements/lock

.PHONY: clean
clean: ## remove caches and build products; .venv stays
	@rm -rf build dist bench/out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf

.PHONY: distclean
distclean: clean ## clean, and remove .venv too
	@rm -rf $(VENV) src/*.egg-info

$(VENV)/bin/python:
	@$(FIND_PYTHON); \
	echo "[1/4] making $(VENV) with $$python ($$("$$python" -V))"; \
	rm -rf $(VENV); "$$python" -m venv $(VENV)

$(VENV)/.squib: requirements/run.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo "[2/4] installing what squib needs"
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt
	@echo "[3/4] installing squib"
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.runtimes: $(CLIENTS) | $(VENV)/.squib
	@echo "[4/4] installing a runtime for every interpreter found"
	@if env -u SQUIB_CONFIG $(BIN)/squib runtimes install --all; then touch $@; \
	else echo "Some runtimes could not be installed; the others work. Again: make runtimes" >&2; fi

$(VENV)/.demo: requirements/demo.txt | $(VENV)/.squib
	@echo "installing what the demo needs"
	@$(PIP) --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/.squib
	@echo "installing what checks and tests need"
	@$(PIP) --require-hashes -r $<
	@touch $@
