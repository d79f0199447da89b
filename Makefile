# Every target sets up what it needs: Python packages, the Rust core, and uv itself when it is absent.
# Builds are cached outside the checkout, so that a second clone is quick.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pulka
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PYTHONPATH := $(CURDIR)/src
# Every process that the tests start reads compiled modules, whatever the environment says: without, each start costs 5 CPU-seconds.
unexport PYTHONDONTWRITEBYTECODE
UV := $(shell command -v uv 2>/dev/null || echo $(CACHE)/uv/bin/uv)
BIN := .venv/bin
NATIVE := src/pulka/_native.abi3.so
RUST := Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -not -path '*/fuzz/*' -o -name Cargo.toml -not -path '*/fuzz/*')
PYTEST := $(BIN)/python -m pytest
# Many tests wait for processes: three workers for two cores; a file stays with one worker, long folders come first.
WORKERS ?= 3
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help setup bpf test-live demo up test build-all rust test-rust test-python test-slow check bench wheel lock docs fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(BIN)/.synced $(NATIVE) ## install Python packages and build the Rust core

$(UV):
	@command -v python3 >/dev/null || { echo "Pulka needs Python 3.11 or newer: install python3 with its venv module"; exit 1; }
	python3 -m venv $(CACHE)/uv && $(CACHE)/uv/bin/pip install -q uv

$(BIN)/.synced: requirements.lock | $(UV)
	@[ -x $(BIN)/python ] || $(UV) venv -q --python '>=3.11' .venv
	$(UV) pip sync -q --python $(BIN)/python requirements.lock
	@printf '#!/bin/sh\nPYTHONPATH=%s exec %s -m pulka "$$@"\n' "$(CURDIR)/src" "$(CURDIR)/$(BIN)/python" > $(BIN)/pulka && chmod +x $(BIN)/pulka
	@touch $@

rust:
	@command -v cargo >/dev/null || { echo "Pulka's core is Rust: install a Rust toolchain (1.91 or newer) so that cargo is on PATH"; exit 1; }

$(NATIVE): $(RUST) | rust
	cargo build --release --locked -p pulka-py
	cp $(CARGO_TARGET_DIR)/release/lib_native.so $@.new && mv $@.new $@

demo: setup ## start the lake and a small shop of services that feed it
	$(BIN)/python -m pulka demo

up: setup ## start the lake
	$(BIN)/python -m pulka up

test: build-all setup test-rust test-python ## everything that runs in minutes

CRATES := -p pulka-core -p pulka-edge -p pulka-l7 -p pulka-probe -p pulka-py

build-all: | rust # the core beside its tests: one after the other, a CPU would be idle for the last crates of each
	cargo build --release --locked --lib --tests $(CRATES)

test-rust: # with the same examples each time, so that one commit has one verdict
	PROPTEST_RNG_SEED=1 cargo test --release --locked -q --tests $(CRATES)

test-python: setup
	$(PYTEST) $(PARALLEL) -m "not slow and not live" tests

test-slow: setup ## long loops: other and more examples, kill -9 rounds, many seeds, the API fuzzed, the wheel in a clean environment
	PROPTEST_CASES=2048 cargo test --release --locked -q --tests $(CRATES)
	HYPOTHESIS_PROFILE=default $(PYTEST) $(PARALLEL) -m "hypothesis and not slow and not live" tests
	$(PYTEST) -m slow --timeout 3600 tests

check: setup ## linters, types, and the unit tests
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	cargo clippy --release --locked -q --all-targets $(CRATES) -- -D warnings
	$(PYTEST) $(PARALLEL) -m "not slow" tests/unit tests/contract tests/docs

bench: setup ## the benchmarks beside their peers; tables go to stdout
	$(UV) pip install -q --python $(BIN)/python -r requirements-peers.lock
	for file in ingest ten query search compare tail memory compaction locality merge pruning cancel neighbour $$([ "$$(id -u)" = 0 ] && echo edge); do $(BIN)/python bench/$$file.py || exit 1; done

bpf: $(BIN)/.synced ## compile bpf/ into the object that the package ships
	$(BIN)/python bpf/build.py src/pulka/edge/bpf/edge.bpf.o

test-live: setup ## the agent and real servers on loopback, kernel probes attached (as root, on Linux)
	$(PYTEST) -m "live" tests

wheel: setup ## build dist/*.whl
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --out dist

docs: setup ## write the generated pages of docs/
	$(BIN)/python -m pulka.surfaces.cli.reference docs

fuzz: ## run every fuzz target for a minute (needs cargo-fuzz and a nightly toolchain)
	for crate in pulka-core pulka-l7 pulka-edge; do \
	  (cd crates/$$crate && for target in $$(cargo +nightly fuzz list); do cargo +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done) || exit 1; done

lock: | $(UV) ## resolve the dependencies anew
	$(UV) pip compile -q --universal --generate-hashes --no-annotate --no-header --group dev pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --generate-hashes --no-annotate --no-header -c requirements.lock --group peers -o requirements-peers.lock
	cargo update

clean: ## forget what was built in the checkout (not the cache)
	rm -rf .venv dist $(NATIVE) .mypy_cache .ruff_cache .pytest_cache
