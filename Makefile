# Each target installs what it needs first (scripts/setup; nothing to do the second time).
#
#   make demo     see it work: edges, a parent that is killed, and DuckDB that counts
#   make test     everything that must hold, as CI runs it
#   make build    build/evodb, release
#   make bench    the benchmarks: JSON, a table and pictures in bench/results
#   make instructions  have the instructions of fixed small workloads grown by over 10 %?
#   make format   clang-format          make lint    clang-format's check, clang-tidy, other checks
#   make prove    what takes longer: histories in virtual time, planted bugs, crash points, kills, abuse
#   make prove-long  all of that, readers and world, and a minute for each fuzz target
#   make fuzz     each fuzz target for MINUTES, or FUZZ_SECONDS (10)
#   make readers  what nine engines read, against SQLite; installs a gigabyte of them first
#   make soak     histories in virtual time for HOURS (1)
#   make torture  the real binary under KILLS (1000) kills and worse
#   make world    migration tools, ORMs and restores of others against captured databases
#   make tsan     the tests of everything that has threads, under ThreadSanitizer
#   make docs     docs/configuration.md from the code
SHELL := /bin/bash
.DEFAULT_GOAL := build
MINUTES ?=
FUZZ_SECONDS ?= $(if $(MINUTES),$(shell echo $$(( $(MINUTES) * 60 ))),10)
HISTORIES ?= 10000
STRIDE ?= 1
HOURS ?= 1
KILLS ?= 1000
TSAN_ROOMS := base journal store edge app
# CI builds everything from nothing; the release build stays as a developer has it.
UNITY := $(if $(CI),-DEVODB_UNITY=ON)
empty :=
space := $(empty) $(empty)
PYTEST := .deps/venv/bin/python -m pytest -q -p no:cacheprovider

.PHONY: setup build sim test unit system install-test boundaries examples fuzz tsan prove prove-sim crash-points \
        prove-system prove-torture prove-thread prove-long \
        torture world soak readers demo bench instructions format lint docs clean

setup:
	@scripts/setup

build:
	@scripts/setup demo
	@cmake --preset release -DEVODB_TESTS=OFF -DEVODB_BENCH=ON > build.log 2>&1 || { cat build.log; exit 1; }
	@ninja -C build evodb evodb_client
	@rm -f build.log

# The simulator, the crash points, and the binaries that only tests want.
sim: setup
	@cmake --preset release -DEVODB_TESTS=OFF > /dev/null
	@ninja -C build evodb-sim evodb-crash-points

# Where nothing was built yet: without `evodb bench`, and several files as one, half of the work.
demo:
	@scripts/setup demo
	@cmake --preset release -DEVODB_TESTS=OFF $(if $(wildcard build/build.ninja),,-DEVODB_BENCH=OFF -DEVODB_UNITY=ON) \
	  > build.log 2>&1 || { cat build.log; exit 1; }
	@echo "building build/evodb"
	@ninja -C build evodb
	@rm -f build.log
	@build/evodb demo --python .deps/venv/bin/python

test: setup lint-fast examples unit boundaries build system install-test fuzz
	@echo "make test: all passed"

# Unit and property tests, the whole system in virtual time, with ASan and UBSan.
unit: setup
	cmake --preset debug $(UNITY) > /dev/null
	ninja -C build-debug
	ctest --test-dir build-debug --output-on-failure -j2

# The real binary, real disks, real sockets, readers that nobody here wrote. Mostly waiting: three files at
# a time.
system: setup build
	@ninja -C build evodb-echo-gate evodb-echo-client evodb_differential
	$(PYTEST) -n 3 --dist loadfile tests --ignore=tests/torture --ignore=tests/abuse --ignore=tests/world \
	  --ignore=tests/readers

install-test: setup
	tests/install/run.sh

# The build must refuse an include across a boundary.
boundaries: setup
	tests/boundaries/run.sh

# The examples in the comments of headers compile.
examples: setup
	tests/examples/run

fuzz: setup
	cmake --preset debug $(UNITY) > /dev/null
	ninja -C build-debug fuzzers
	scripts/fuzz build-debug $(FUZZ_SECONDS)

# One seed is one history; 10,000 of them; every planted bug. docs/TESTING.md says what all of it is.
prove-sim: sim
	scripts/prove-sim build/evodb-sim $(HISTORIES)

crash-points: sim
	build/evodb-crash-points --stride $(STRIDE)

prove: setup prove-sim prove-system

# What CI has no time for: a minute for each fuzz target, and two gigabytes of other people's tools.
prove-long: prove readers world
	$(MAKE) fuzz FUZZ_SECONDS=60
	scripts/sanitized-system thread --all
	scripts/sanitized-system address --all

# One computes on one core, the others mostly wait: together they take as long as the longest.
prove-system: sim build
	scripts/sanitized-system thread --build
	$(MAKE) -j3 --output-sync=target crash-points prove-torture prove-thread
prove-torture: setup build
	KILLS=100 $(PYTEST) -s tests/torture
	$(PYTEST) -s tests/abuse
prove-thread: setup
	scripts/sanitized-system thread

# Migration tools, ORMs, backups and their restores, of the versions in tests/world/pins.
world: setup build
	tests/world/run

# Every engine of docs/readers.md but Trino, with that page's code.
readers: setup build
	@ninja -C build evodb_differential
	tests/readers/run

torture: setup build
	KILLS=$(KILLS) $(PYTEST) -s tests/torture

soak: sim
	scripts/soak build/evodb-sim $(HOURS)

# Where threads meet: the loops, the journal, the client, and a whole parent in one process.
tsan: setup
	cmake --preset tsan $(UNITY) > /dev/null
	ninja -C build-tsan $(TSAN_ROOMS:%=evodb_%_test)
	ctest --test-dir build-tsan --output-on-failure -R '^($(subst $(space),|,$(TSAN_ROOMS)))$$'

# One JSON, a table and pictures in bench/results, in under ten minutes.
bench: setup build
	bench/run

# The instructions of fixed small workloads, against bench/instructions.json: fails above +10 %.
instructions: setup build
	@ninja -C build evodb-instructions
	@scripts/instructions

format: setup
	@scripts/lint --fix

lint: setup
	@scripts/lint
	@cmake --preset debug -DEVODB_UNITY=OFF > /dev/null
	@scripts/lint --tidy build-debug

.PHONY: lint-fast
lint-fast: setup
	@scripts/lint

docs: build
	build/evodb config docs > docs/configuration.md

clean:
	rm -rf build build-debug build-tsan build-client
