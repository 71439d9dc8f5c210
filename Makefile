# Everything that a developer or a reader types. `make setup` is run by whatever needs it.

PYTHONS := python3.12 python3.13 python3.14 python3
BIN := .venv/bin
STAMP := .venv/.stamp
CLI := $(BIN)/purejaxrl-suite
DEMO := runs/demo

.PHONY: help setup demo test test-all lint docs notebooks bench bench-gpu clean

help:
	@echo "make setup | demo | test | test-all | lint | docs | notebooks | bench | bench-gpu | clean"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	        found=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "purejaxrl_suite needs Python 3.12 or newer; tried: $(PYTHONS)" >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] || $$found -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

# Two fleets, trained from scratch on this machine, then one table and one figure of both.
demo: $(STAMP)
	$(CLI) train ppo --preset minigrid --env Navix-Empty-8x8-v0 --seeds 16 --steps 1e5 \
	    --out $(DEMO)/navix --overwrite
	$(CLI) train ppo --preset purejaxrl-minatar --env Breakout-MinAtar --seeds 8 --steps 5e5 \
	    --out $(DEMO)/minatar --overwrite
	$(CLI) report $(DEMO)/navix $(DEMO)/minatar --figure $(DEMO)/learning_curves.png

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[brax,cluster,minari,miniworld,mlflow,playground]"
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict

# Runs them from top to bottom and stores what they show: minutes on a CPU.
notebooks: $(STAMP)
	$(BIN)/jupyter execute --inplace --NbClient.record_timing=False notebooks/*.ipynb

bench: $(STAMP)
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.throughput --quick

bench-gpu: $(STAMP)
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf .cache .pytest_cache .ruff_cache .hypothesis build dist site runs
