# Everything runs in .venv inside the checkout; it is made on first use and after pyproject.toml
# changed. Another interpreter: make test PYTHON=python3.13
PYTHON ?= python3
VENV := .venv
LINT := .venv-lint
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO_SECONDS ?=

.PHONY: demo test test-versions lint standards bench bench-detection bench-trust bench-ablation bench-constants bench-loss bench-scenarios bench-changes bench-fleet bench-lake faults dashboards kernels clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready-demo  ## simulated plant, scripted faults, agent and central ops
	$(BIN)/fieldwarden demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

# two workers a core, by tests/lanes.py; ONE=1: one test after the other
test: lint standards  ## the whole suite, with lint and types
	$(BIN)/python -m pytest $(if $(ONE),,--numprocesses auto --dist loadfile)

# EXCEPT=3.11 leaves out a version that was tested already
test-versions:  ## a quick part of the suite under each claimed Python that this machine has
	@.ci/versions $(if $(EXCEPT),--except $(EXCEPT))

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/mypy

# where they can not be had (no network), the tests that need them are skipped, which CI refuses
standards:  ## tools that check what is written in standard forms, in .venv-lint
	@$(MAKE) --no-print-directory $(LINT)/.ready || \
	  echo "left out: the tools of .ci/standards.txt could not be installed" >&2

bench: $(VENV)/.ready-bench  ## JSON lines on stdout
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

dashboards: $(VENV)/.ready-test  ## makes the dashboards for Grafana anew
	$(BIN)/python -m dashboards.make

# takes most of an hour on two cores; QUICK=--quick runs a part of it
bench-detection: $(VENV)/.ready-bench  ## the eight tables of "What to expect", JSON lines on stdout
	@for table in budget power faults; do \
	  $(BIN)/python benchmarks/detection/$$table.py $(QUICK) || exit 1; done
	@for table in tep skab nab speed robust; do \
	  $(BIN)/python benchmarks/detection/$$table.py || exit 1; done

# real records, closed loops and exports of ../shared; QUICK=--quick runs a part of it
bench-trust: $(VENV)/.ready-bench  ## alarms, lost time and names on real plant records, JSON lines
	@$(BIN)/python benchmarks/trust/run.py $(QUICK)

# needs mosquitto; root for the faults of disks, libfaketime for those of clocks, cc for both
# FAULTS=long does every round that is promised, which takes hours
faults: $(VENV)/.ready-test  ## every fault that must be borne, from publisher to central, JSON lines
	@$(BIN)/python benchmarks/faults/run.py $(if $(filter long,$(FAULTS)),--long)

# QUICK=--quick runs a part of it in five minutes
bench-ablation: $(VENV)/.ready-bench  ## what each chart adds: one left out at a time, JSON lines
	@$(BIN)/python benchmarks/detection/ablation.py $(QUICK)

bench-constants: $(VENV)/.ready-bench  ## each constant that is said to be measured, measured anew
	@$(BIN)/python benchmarks/detection/constants.py

# takes about half an hour on one core; QUICK=--quick a fifth of it
bench-loss: $(VENV)/.ready-bench  ## a model's losses: delay, false alarms, requests, estimates, JSON lines
	@$(BIN)/python benchmarks/steward/loss.py $(QUICK)

# takes most of an hour on two cores; QUICK=--quick a part of it in a few minutes
bench-scenarios: $(VENV)/.ready-bench  ## what is asked for, and what is not, in 300 scenarios, JSON lines
	@$(BIN)/python benchmarks/scenarios/run.py $(QUICK)

# takes about a quarter of an hour on two cores; ONLY=PATTERN tries those whose names it fits
bench-changes: $(VENV)/.ready-bench  ## changes upstream of real servers: held, found, named, JSON lines
	@$(BIN)/python benchmarks/changes/run.py $(if $(ONLY),--only '$(ONLY)')

# needs mosquitto and PostgreSQL 15; a quarter of an hour on two cores, QUICK=--quick three minutes
bench-fleet: $(VENV)/.ready-bench  ## 10,000 gateways through broker, workers and database, killed, a JSON line
	@$(BIN)/python benchmarks/fleet/run.py $(QUICK)

# ROWS=100000000 takes an hour on two cores, and 1.7 GB of disk
bench-lake: $(VENV)/.ready-bench  ## a baseline over a lake: seconds, memory, digest by pool and dask, JSON lines
	@$(BIN)/python benchmarks/fit_lake.py $(if $(ROWS),--rows $(ROWS))

kernels: $(VENV)/.ready-test  ## compile the kernels into the checkout; needs a C compiler
	$(PIP) install setuptools
	$(BIN)/python -m agent.core.kernels.build

clean:
	rm -f agent/core/kernels/_compiled.*
	rm -rf $(VENV) $(VENV)-3.* $(LINT) build dist .demo .work .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): install Python 3.11 or later, or give PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V): Python 3.11 or later is needed, give PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment: on Debian, apt-get install python3-venv" >&2; exit 1; }

$(LINT)/.ready: .ci/standards.txt | $(BIN)/python
	@$(BIN)/python -m venv $(LINT)
	@$(LINT)/bin/python -m pip --disable-pip-version-check --quiet install --retries 1 --timeout 15 -r $<
	@touch $@

$(VENV)/.ready-demo: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[jit,demo,fit]'
	@touch $@

$(VENV)/.ready-test: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[jit,demo,fit,test]'
	@touch $@

$(VENV)/.ready-bench: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[jit,demo,fit,test,bench]'
	@touch $@
