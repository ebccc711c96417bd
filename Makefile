# What is done with these sources. `make` alone lists it.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The resolver that writes requirements.lock; not needed otherwise.
UV_VERSION := 0.13.9

# What follows a pytest that fails: that there is none among TESTS is fine where TESTS was given.
NONE_CHOSEN := $(if $(TESTS),[ $$? = 5 ],false)
KERNEL_TESTS := $(BIN)/python -m tests.kernel -- $(TESTS) || $(NONE_CHOSEN)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-kernel quick lint types bench bench-kernel dist lock clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	    printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## Make the virtual environment that the others run in

$(READY): requirements.lock pyproject.toml scripts/setup
	@scripts/setup $(VENV)
	@touch $@

demo: $(READY)  ## Build two hosts with four machines, ping, look at the flows, replay, tear down
	@$(BIN)/python -m cli.demo examples/two-hosts.yaml

test: $(READY)  ## Run lint, types and every test, with real namespaces and the kernel's datapath
	@scripts/provide-test-tools $(BIN)/python
	$(MAKE) --no-print-directory lint types
	$(BIN)/python -m pytest $(TESTS) || $(NONE_CHOSEN); status=$$?; \
	    { $(KERNEL_TESTS); } && exit $$status

test-kernel: $(READY)  ## Run the tests of the kernel's openvswitch, in a booted kernel if need be
	@scripts/provide-test-tools $(BIN)/python
	$(KERNEL_TESTS)

quick: $(READY)  ## Run the tests that need no namespaces
	$(BIN)/python -m pytest -m "not lab" $(TESTS)

lint: $(READY)  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)  ## Check types, strictly
	$(BIN)/mypy

bench: $(READY)  ## Measure, and print a table
	$(BIN)/python -m benchmarks

bench-kernel: $(READY)  ## Measure on the kernel's openvswitch, against C and other switches
	@scripts/provide-bench-tools $(abspath $(BIN))/python
	$(BIN)/python -m benchmarks.kernel

dist: $(READY)  ## Build a wheel and a source distribution in dist/
	$(BIN)/python -m build --no-isolation

lock: $(READY)  ## Resolve dependencies into requirements.lock; UPGRADE=1 takes the newest
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/python -m venv "$$folder" && "$$folder/bin/pip" install --quiet uv==$(UV_VERSION) && \
	"$$folder/bin/uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-config --quiet \
	    --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) -o requirements.lock

clean:  ## Remove what the others made, except the virtual environment
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
