# Two commands set a fresh machine up: `make quickstart` and `make test`. Both can be run again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside the clone, so that a fresh clone finds what an earlier one built.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/millrace/target
export KAFKA_IMAGE_NAME ?= localhost/kafka-test
export KAFKA_IMAGE_TAG ?= 4.3.1

# Cargo would take the job server of a make that runs two targets at once for its own, and miss it.
unexport MAKEFLAGS MFLAGS

# What `make static` builds for.
target ?= $(shell uname -m)-unknown-linux-musl

# In CI nobody watches the hundreds of lines that name each dependency.
quiet := $(if $(CI),--quiet)
cargo := cargo --locked

# $(call step,name,command): the name comes first, even when output is held back line by line (-O line).
define step
@echo "==> $(1)"
@start=$$EPOCHSECONDS; $(2); echo "    $$((EPOCHSECONDS - start)) s: $(1)"
endef

.PHONY: help
help: ## Show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: quickstart
quickstart: build ## Copy a demo database through a Kafka log into Parquet files, with nothing else installed
	@$(CARGO_TARGET_DIR)/release/millrace quickstart

.PHONY: build
build: build-needs ## Build the release binary
	$(call step,building millrace (the first time takes some minutes),$(cargo) build --release -p millrace $(quiet))
	@echo "    $(CARGO_TARGET_DIR)/release/millrace"

.PHONY: test
test: build-needs ## Run all checks and tests; installs what they need (a container engine, PostgreSQL)
	@integration/setup.sh tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line checks servers
	@$(MAKE) --no-print-directory integration

.PHONY: checks
checks: ## The part of `make test` that needs no servers
	$(call step,formatting,cargo fmt --all --check)
	$(call step,lints,$(cargo) clippy --workspace --all-targets $(quiet) -- -D warnings)
	$(call step,building the tests,$(cargo) test --workspace --exclude millrace-integration --no-run --quiet)
	$(call step,tests without servers,MILLRACE_TEST_BOOTSTRAP=none MILLRACE_TEST_CONTAINER=none \
	  $(cargo) test --workspace --exclude millrace-integration --no-fail-fast)
	$(call step,documentation,RUSTDOCFLAGS='-D warnings' $(cargo) doc --workspace --no-deps $(quiet))
	$(call step,build without optional features,$(cargo) check -p millrace --no-default-features $(quiet))

.PHONY: integration
integration: servers ## The part of `make test` that runs against Kafka, Java Connect and PostgreSQL
	$(call step,building for integration,$(cargo) build -p millrace --features rdkafka --quiet && \
	  $(cargo) test -p millrace-integration --no-run --quiet)
	$(call step,tests of engine/kafka on a broker,$(CARGO_TARGET_DIR)/debug/kafka-tests)
	$(call step,tests of the rig in benches/e2e,python3 -m unittest discover -t benches/e2e -s benches/e2e/tests)
	$(call step,tests with servers,$(cargo) test -p millrace-integration)

.PHONY: drill
drill: servers ## Clients at work while brokers fail, 60 times (DRILL: options of integration/drill)
	@integration/drill $(DRILL)

.PHONY: static
static: ## Build the binary to give away: static, stripped, optimised as a whole; without librdkafka
	@integration/setup.sh static $(target)
	$(call step,building a static millrace (takes a while),\
	  $(cargo) build --profile dist --target $(target) -p millrace $(quiet))
	@ldd $(CARGO_TARGET_DIR)/$(target)/dist/millrace 2>&1 | grep -q 'statically linked\|not a dynamic' \
	  || { echo "not static:"; ldd $(CARGO_TARGET_DIR)/$(target)/dist/millrace; exit 1; }
	@ls -l $(CARGO_TARGET_DIR)/$(target)/dist/millrace | awk '{ printf "    %s, %d MB\n", $$9, $$5 / 1000000 }'

.PHONY: bench
bench: build ## Measure Millrace beside Java Connect (an hour on two cores; BENCH=--quick: minutes)
	@integration/setup.sh bench
	@benches/e2e/run $(BENCH)

.PHONY: bench-kafka
bench-kafka: build-needs ## Measure Kafka clients beside each other (an hour; BENCH=--quick: minutes)
	@integration/setup.sh bench
	@benches/kafka/run $(BENCH)

.PHONY: bench-parts
bench-parts: build-needs ## Measure the parts that a record passes through (criterion)
	@integration/setup.sh tests
	$(cargo) bench -p millrace-benches

.PHONY: clean-servers
clean-servers: ## Remove our test containers, and stop the container engine if `make test` started it
	@integration/setup.sh stop

.PHONY: build-needs
build-needs:
	@integration/setup.sh build
	@cargo fetch --locked --quiet
	@# Cargo tells the crates of two clones apart by their files' times alone: what another clone built here
	@# must not pass for ours.
	@mkdir -p $(CARGO_TARGET_DIR); \
	if [ "$$(cat $(CARGO_TARGET_DIR)/.clone 2> /dev/null)" != "$(CURDIR)" ]; then \
	  git ls-files -z '*.rs' '*Cargo.toml' '*README.md' | xargs -0 touch; echo "$(CURDIR)" > $(CARGO_TARGET_DIR)/.clone; \
	fi

.PHONY: servers
servers:
	@integration/setup.sh servers
