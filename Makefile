# Every target does its own set-up: a fresh machine needs python3, node, npm and make, nothing else.
# Paths are relative, so that the checkout may stand under a path with spaces. Stamps are touched after success only.

PYTHON ?= python3
UV = uv==0.13.9
ARGS ?=

PY = .venv/bin/python
PIP = $(PY) -m pip --disable-pip-version-check --no-input -qq
NPM = npm --no-audit --no-fund --no-update-notifier --no-progress --loglevel=error
COMPILE = $(PY) -m uv pip compile --quiet pyproject.toml --universal --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(ARGS)

# Programs that are started hundreds of times are compiled once, whatever the environment says of it.
export PYTHONDONTWRITEBYTECODE =

SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=2
# What each target says in one piece, where make knows how.
IN_PIECES = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

RUNTIME = .venv/.runtime
DEV = .venv/.dev
BENCH = .venv/.bench
COMPILED = .venv/.compiled
MODULES = client/node_modules/.stamp
TIMESCALE = tests/support/timescale/node_modules/.stamp
BROKER = tests/support/mqtt_broker/node_modules/.stamp
GENERATOR = .venv/openapi-client/.stamp
PAGE = src/pulsebase/api/page/index.html
CLIENT_SOURCES = $(shell find client \( -name node_modules -o -name dist -o -name coverage \) -prune \
	-o -type f ! -name '*.tsbuildinfo' -print 2>/dev/null)

# What `make quick` runs: no browser, no server store, no processes that are killed, and of everything else what catches most.
QUICK = tests/access tests/files tests/ingest tests/live tests/model tests/query \
	tests/stores/test_memory.py tests/stores/test_duckdb.py::TestDuckdbStore \
	tests/etl/transform tests/etl/extract/test_research_csv.py \
	tests/api/test_readings.py tests/api/test_service.py \
	tests/test_architecture.py tests/test_library.py tests/test_settings.py

.DELETE_ON_ERROR:
.PHONY: help run test quick quick-tests ready check check-client fuzz bench format lock client clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(RUNTIME) $(PAGE) ## Start the demo: the page with two synthetic people (ARGS="--port 9000")
	@.venv/bin/pulsebase demo $(ARGS)

# What is Python's and what is Node.js's goes side by side. The line pytest ends with stays the last one.
test: ## Everything a change has to pass (ARGS go to pytest)
	@$(SIDE_BY_SIDE) ready
	@scripts/system-packages.sh
	@$(SIDE_BY_SIDE) $(IN_PIECES) check check-client $(COMPILED)
	@$(PY) -m pytest -n 3 $(ARGS)

quick: $(DEV) ## While you work: style, types, layers, and the tests that catch most mistakes
	@$(SIDE_BY_SIDE) $(IN_PIECES) check quick-tests

quick-tests: $(DEV)
	@$(PY) -m pytest -n 2 -q $(QUICK) $(ARGS)

ready: $(DEV) $(PAGE) $(TIMESCALE) $(BROKER) $(GENERATOR)
	@:

check: $(DEV) ## Style, types and the direction of dependencies
	@echo "Checking the Python code"
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo

check-client: $(MODULES)
	@echo "Checking the client"
	@cd client && $(NPM) run check && $(NPM) test

fuzz: $(DEV) ## Give decoders and a server changed inputs for an hour (ARGS="--seconds 60 --target parquet")
	@$(PY) -m tests.fuzz $(ARGS)

bench: $(BENCH) ## Run the benchmarks (ARGS go to them)
	@benchmarks/install_peers.sh
	@$(PY) -m benchmarks $(ARGS)

format: $(DEV) ## Write the code the way `make check` wants it
	@$(PY) -m ruff check --fix --quiet
	@$(PY) -m ruff format --quiet

client: $(PAGE) ## Build the page

# The runtime lock is compiled under the versions of the other one, so that what runs is what was tested.
lock: .venv/.created ## Remake the lock files (ARGS=--upgrade for newer versions)
	@$(PIP) install '$(UV)'
	@$(COMPILE) --group dev --output-file requirements-dev.lock
	@$(COMPILE) --group build --constraint requirements-dev.lock --output-file requirements.lock
	@$(COMPILE) --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	@$(subst pyproject.toml,tests/support/openapi_client/requirements.in,$(COMPILE)) \
		--output-file tests/support/openapi_client/requirements.lock

clean: ## Remove everything make has built
	@rm -rf .venv tests/support/timescale/node_modules tests/support/mqtt_broker/node_modules client/node_modules client/dist client/coverage src/pulsebase/api/page build dist
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

.venv/.created:
	@command -v $(PYTHON) >/dev/null || { echo "Pulsebase needs Python 3.11 or newer: no $(PYTHON) here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Pulsebase needs Python 3.11 or newer: this is $$($(PYTHON) --version). Try make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up Python in .venv"
	@$(PYTHON) -m venv --clear .venv || { echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(RUNTIME): .venv/.created requirements.lock pyproject.toml
	@echo "Installing the locked Python packages"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@echo "Installing the locked development packages"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# Else each of the processes that share out the tests would do that at the same time, on their first day. It keeps
# one processor busy, so it goes beside the checks.
$(COMPILED): $(DEV) | $(PAGE)
	@echo "Compiling the tests"
	@$(PY) -m pytest --collect-only -qq >.venv/.compiled.log || { cat .venv/.compiled.log >&2; exit 1; }
	@touch $@

$(BENCH): $(DEV) requirements-bench.lock
	@echo "Installing the locked packages of the benchmarks' peers"
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@

$(MODULES): client/package.json client/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ echo "The page needs Node.js 20.19 or newer, with npm, to build: not found here." >&2; exit 1; }
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b < 2019 ? 1 : 0)' || \
		{ echo "The page needs Node.js 20.19 or newer to build: this is $$(node --version)." >&2; exit 1; }
	@echo "Installing the locked client packages"
	@cd client && $(NPM) ci
	@touch $@

$(TIMESCALE): tests/support/timescale/package.json tests/support/timescale/package-lock.json
	@echo "Installing the TimescaleDB that the tests run on"
	@cd tests/support/timescale && $(NPM) ci
	@touch $@

$(BROKER): tests/support/mqtt_broker/package.json tests/support/mqtt_broker/package-lock.json
	@echo "Installing the MQTT broker that the tests run on"
	@cd tests/support/mqtt_broker && $(NPM) ci
	@touch $@

# In an environment of its own: it asks for other versions than we do.
$(GENERATOR): .venv/.created tests/support/openapi_client/requirements.lock
	@echo "Installing the generator of clients that the tests try"
	@$(PY) -m venv --clear .venv/openapi-client
	@.venv/openapi-client/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes \
		-r tests/support/openapi_client/requirements.lock
	@touch $@

$(PAGE): $(MODULES) $(CLIENT_SOURCES)
	@echo "Building the page"
	@cd client && $(NPM) run build
	@touch $@
