# Every target does its own set-up in .venv; Python 3.11 or newer and make are all it needs.
# Paths are relative throughout, for make can not handle one with a blank.

PYTHON =
STACK = embedded
JOBS = 2
ARGS =

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check bench performance faults lock clean

# A copied or moved folder must not run the code it was copied from: an installation knows its absolute place.
$(shell [ "$$(cat .venv/place 2>/dev/null)" = "$$(pwd -P)" ] || rm -f .venv/made)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo 'JOBS=1 runs the tests one after the other, on one stack instead of two.'
	@echo 'STACK=containers runs the tests on Docker containers; ARGS="..." is passed on to the command.'

demo: .venv/demo-ready ## watch documents travel from Kafka to search results, under a minute
	@.venv/bin/headrace demo $(ARGS)

test: .venv/dev-ready ## run every test on the embedded stack
	@HEADRACE_TEST_STACK=$(STACK) .venv/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

check: .venv/dev-ready ## ruff, format, mypy, import-linter
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/demo-ready ## measure throughput against the built-in fake provider
	@.venv/bin/headrace bench $(ARGS)

performance: .venv/demo-ready ## measure everything, in a quarter of an hour, and write it into docs/performance.md
	@.venv/bin/headrace bench --write docs/performance.md $(ARGS)

faults: .venv/dev-ready ## break every part on purpose and write what it cost into docs/faults.md
	@report=$$(mktemp) && trap 'rm -f "$$report"' EXIT && export HEADRACE_TEST_FAULT_MATRIX="$$report" && \
	  HEADRACE_TEST_STACK=$(STACK) .venv/bin/python -m pytest $$(.venv/bin/python -m tests.scenarios.matrix --files) $(ARGS) && \
	  .venv/bin/python -m tests.scenarios.matrix "$$report"

lock: .venv/dev-ready ## write requirements/*.txt again (ARGS=--upgrade for newer versions)
	@$(call install,requirements/lock.txt)
	@printf 'uv\n' | $(call compile,lock) -
	@$(call compile,dev) --all-extras pyproject.toml
	@$(call compile,embedded) --constraint requirements/dev.txt --extra embedded pyproject.toml
	@$(call compile,run) --constraint requirements/dev.txt pyproject.toml
	@printf 'hatchling\n' | $(call compile,build) --constraint requirements/dev.txt -

clean: ## remove what the other targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find schemas producers consumers compose tests -name __pycache__ -prune -exec rm -rf {} +

# Versions for every supported Python, with hashes and without an address to fetch them from.
compile = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate $(ARGS) --output-file requirements/$(1).txt

# Wheels only: building a dependency would download a build system that nobody pinned.
install = echo "installing $$(cat $(1) | grep -c ==) pinned packages, up to a few minutes the first time" && \
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
  --only-binary :all: $(foreach file,$(1),--requirement $(file))

install-project = .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
  --no-build-isolation --no-index --editable .

# The last step of each rule writes its mark, so that an interrupted one starts again.
.venv/demo-ready: .venv/made pyproject.toml requirements/embedded.txt requirements/build.txt
	@$(call install,requirements/embedded.txt requirements/build.txt)
	@$(install-project)
	@touch $@

.venv/dev-ready: .venv/made pyproject.toml requirements/dev.txt
	@$(call install,requirements/dev.txt)
	@$(install-project)
	@touch $@ .venv/demo-ready

.venv/made:
	@for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
	  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$name" -c 'import ensurepip, venv' 2>/dev/null || { bare=$$name; continue; }; \
	  echo "making .venv with $$("$$name" --version)"; \
	  rm -rf .venv && "$$name" -m venv .venv && pwd -P >.venv/place && touch $@; \
	  exit; \
	done; \
	if [ -n "$$bare" ]; then \
	  echo "$$bare can not make virtual environments: install its venv module (on Debian: apt install $$("$$bare" -c \
	    'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))" >&2; \
	else \
	  echo 'Python 3.11 or newer is needed, and $(or $(PYTHON),python3.13 python3.12 python3.11 python3) is not it or does not run.' >&2; \
	  echo 'Install one, or name it: make PYTHON=/where/it/is/python3.12' >&2; \
	fi; \
	exit 1
