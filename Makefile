# SPDX-License-Identifier: Apache-2.0
# The two commands of the README and a few short ways; meson does the work.

BUILD    ?= build
PYTHON   ?= /usr/bin/python3
OPTIONS  ?=
BENCH    ?=
SETUP     = scripts/setup
RUNNER    = $(PYTHON) tests/run.py
# Ways of running a guest's instructions, as for `hospes run --engine`, and the suites of small guests.
ENGINES   = interpret translate,heat=0 translate,heat=0,unit=1 translate,heat=0,code=1M translate,windows=0 \
            translate,heat=0,windows=2,audit=1 translate,regions=0 translate,heat=0,regions=2,windows=2,audit=1
# The same with one code profile: the first makes it, and the others find all that was executed in it.
PROFILED  = translate,heat=0 translate translate,windows=2
ENGINE_SUITES ?= tests/isa tests/random/test_random.py tests/random/test_hostile.py \
                 tests/system/test_cli_run.py tests/system/test_cli_image.py

.DEFAULT_GOAL := all
.PHONY: all build run image bench-machines doctor test test-long test-asan test-ubsan test-tsan test-interp test-engines \
        bench format lint install clean help

all: ## set up what the build needs, and build
	@$(SETUP) build
	@$(MAKE) --no-print-directory build

# The build alone: what is missing on the host is told by meson and not installed.
build:
	@test -f $(BUILD)/build.ninja || meson setup $(OPTIONS) $(BUILD)
	@ninja -C $(BUILD)

run: ## boot Debian on this terminal (makes the image the first time)
	@$(SETUP) build image
	@$(MAKE) --no-print-directory build
	@$(BUILD)/hospes image build --if-missing debian
	@exec $(BUILD)/hospes run debian

image: all ## make the Debian image anew
	@$(SETUP) image
	@$(BUILD)/hospes image build --replace debian

doctor: all ## what this host offers
	@$(BUILD)/hospes doctor

# Never reads the terminal, so that it does the same in a pipe and in CI.
test: ## every test; the last line is "N passed, N failed, N skipped"
	@$(SETUP) build image test </dev/null
	@$(MAKE) --no-print-directory build </dev/null
	@$(RUNNER) --build $(BUILD) </dev/null

test-long: ## the same with many more random cases and the long boots
	@HOSPES_TEST_LONG=1 $(MAKE) --no-print-directory test

test-asan: ## the same under AddressSanitizer
	@$(MAKE) --no-print-directory test BUILD=build-asan OPTIONS="-Db_sanitize=address -Db_lundef=false"

test-ubsan: ## the same under UndefinedBehaviorSanitizer
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(MAKE) --no-print-directory test BUILD=build-ubsan OPTIONS="-Db_sanitize=undefined -Db_lundef=false"

test-tsan: ## the same under ThreadSanitizer
	@$(MAKE) --no-print-directory test BUILD=build-tsan OPTIONS="-Db_sanitize=thread -Db_lundef=false"

test-interp: ## the same with the reference interpreter
	@HOSPES_ENGINE=interpret $(MAKE) --no-print-directory test

test-engines: ## the suites of small guests, once with each engine and its options
	@$(SETUP) build test </dev/null
	@$(MAKE) --no-print-directory build </dev/null
	@rm -f $(BUILD)/test-code-profile
	@failed=; for engine in $(ENGINES) $(PROFILED:%=%:$(abspath $(BUILD))/test-code-profile); do \
	    echo "== $$engine"; \
	    HOSPES_ENGINE=$${engine%:*} HOSPES_CODE_PROFILE=$$(expr "$$engine" : '[^:]*:\(.*\)') \
	        $(RUNNER) --build $(BUILD) --only pytest $(ENGINE_SUITES) </dev/null || failed="$$failed $$engine"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; false; }

bench: ## measure it against native and QEMU; options: make bench BENCH="--only boot --repeat 1"
	@$(SETUP) build image bench
	@$(MAKE) --no-print-directory build
	@$(BUILD)/hospes image build --if-missing debian
	@$(PYTHON) bench/run.py --build $(BUILD) $(BENCH)

bench-machines: ## measure what many machines cost; options: make bench-machines BENCH="--only idle"
	@$(MAKE) --no-print-directory build
	@$(BUILD)/hospes image build --if-missing debian
	@$(PYTHON) bench/machines.py --build $(BUILD) $(BENCH)

format: ## write all C as .clang-format says
	@git ls-files '*.c' '*.h' ':!tests/isa' | xargs clang-format -i

lint: build ## clang-format and clang-tidy, changing nothing
	@git ls-files '*.c' '*.h' ':!tests/isa' | xargs clang-format --dry-run --Werror
	@git ls-files 'src/*.c' | xargs -P "$$(nproc)" -n 4 clang-tidy --quiet -p $(BUILD) \
	    --extra-arg=-Wno-unknown-warning-option --warnings-as-errors='*'

install: build ## the program, its man pages and completion, under meson's prefix
	@meson install -C $(BUILD)

clean: ## remove the build directories; the image store stays
	rm -rf build build-asan build-ubsan build-tsan

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
