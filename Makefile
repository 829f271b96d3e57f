# Esker's everyday commands; `make` alone lists them.
#
# All cargo commands share one profile and one selection of packages. Another selection (`-p esker-cli`) unifies features
# differently, and that compiles RocksDB's C++ again: about thirteen minutes on two cores. For the same reason the target
# folder stands outside the checkout, where clones share it.

CACHE := $(HOME)/.cache/esker
CARGO_TARGET_DIR ?= $(CACHE)/target
PREFIX ?= /usr/local
STORE ?= folder
ARGS ?=
FUZZ_SECONDS ?= 60
MINUTES ?= 10

SELECTION := --release --locked --workspace --all-targets
BIN := $(CARGO_TARGET_DIR)/release
READER_PYTHON := $(CACHE)/venv/bin/python

export CARGO_TARGET_DIR
# rustup installs cargo here, and not every shell has it in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Tests that read a repository with the independent reader run it with this interpreter.
export ESKER_READER_PYTHON := $(READER_PYTHON)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup build install demo test lint bench bench-peers bench-sorted bench-link bench-memory bench-scale fuzz torture
.PHONY: clean-cache

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r target what; do printf '  make %-14s %s\n' "$$target" "$$what"; done

setup: ## install what the build needs and is missing (Debian, Ubuntu)
	@scripts/setup

build: setup ## compile everything, tests included
	cargo build $(SELECTION)

install: build ## copy esker to PREFIX/bin (/usr/local/bin)
	install -D -m 755 $(BIN)/esker $(DESTDIR)$(PREFIX)/bin/esker

demo: build ## back up a sample cluster, break things, and restore it; STORE=garage for a repository in S3
	@[ "$(STORE)" = folder ] || scripts/setup stores
	$(BIN)/esker-demo $(BIN)/esker --store $(STORE)

test: setup ## run all tests, those of the independent reader too (lint is separate)
	@scripts/setup reader
	@scripts/setup stores
	cargo test $(SELECTION)
	cd format-spec/reader && $(READER_PYTHON) -m unittest

lint: setup ## check formatting, and clippy without a warning
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy $(SELECTION) -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --release --locked -- -D warnings

bench: build ## bench-peers and bench-sorted; ARGS="--entries 200000 --days 3" for a quick run
	@scripts/setup bench
	$(BIN)/esker-bench peers $(ARGS); peers=$$?; $(BIN)/esker-bench sorted $(ARGS) && exit $$peers

bench-peers: build ## speed, size and memory beside rustic, restic and borg; ARGS="--runs 3" for medians
	@scripts/setup bench
	$(BIN)/esker-bench peers $(ARGS)

bench-sorted: build ## stored bytes of every reference workload; ARGS="--workload uniform" for one
	@scripts/setup bench
	$(BIN)/esker-bench sorted $(ARGS)

bench-link: build ## backups and a restore over a link of 1 Gbit/s to Garage, beside rustic; ARGS="--mbit 100" for another
	@scripts/setup bench
	@scripts/setup stores
	$(BIN)/esker-bench link $(ARGS)

bench-memory: build ## peak memory at 100,000 and at 1,000,000 chunks
	@scripts/setup bench
	$(BIN)/esker-bench memory $(ARGS)

bench-scale: build ## every verb on a repository of ten million chunks, and on a tenth of it; ARGS="--chunks 1000000" for a quick run
	@scripts/setup bench
	$(BIN)/esker-bench scale $(ARGS)

fuzz: setup ## fuzz every decoder, FUZZ_SECONDS (60) each
	fuzz/run.sh $(FUZZ_SECONDS)

torture: setup ## tables with random options, verbs in random orders, processes at random, MINUTES (10) each; outages of minutes
	ESKER_TORTURE_MINUTES=$(MINUTES) cargo test --release --locked --workspace --test torture -- --nocapture
	ESKER_TORTURE_MINUTES=$(MINUTES) cargo test --release --locked --workspace --test interleavings -- --nocapture every_committed
	ESKER_TORTURE_MINUTES=$(MINUTES) cargo test --release --locked --workspace --test user -- --nocapture whatever_processes_do
	@scripts/setup stores
	cargo test --release --locked --workspace --test user -- --ignored verbs_wait_for_minutes

clean-cache: ## remove compiled code, benchmark folders and the reader's Python environment
	rm -rf $(CACHE)
