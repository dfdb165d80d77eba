# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Real data sets for tests and benchmarks, when they lie beside the checkout.
export TASTEMAKER_DATA ?= $(wildcard $(abspath ../shared/data))
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 0

.PHONY: help demo test test-slow check bench clean

help:
	@echo "make demo       fetch weights and data, build the index, print explained recommendations"
	@echo "make test       the tests (under 15 minutes on 2 cores once the weights are cached)"
	@echo "make test-slow  the tests that take longer"
	@echo "make check      ruff, format, mypy --strict, import layers"
	@echo "make bench      measurements quoted in docs/lab.md"
	@echo "make clean      remove the virtual environment and build products"

# torch first and pinned: a bare `torch` would bring gigabytes of CUDA to a machine without a GPU.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/tastemaker demo

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# Type checkers cannot see through the package-dir mapping, so they get a tree of links.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .typing/tastemaker && find .typing -xtype l -delete
	for part in tastemaker/* prompts index finetune agent eval; do ln -sfn "$(CURDIR)/$$part" .typing/tastemaker/; done
	MYPYPATH=.typing $(BIN)/mypy --package tastemaker
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) .typing build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
