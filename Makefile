# Every target works on a fresh checkout by itself: it makes .venv, installs what it needs and runs. A second run
# installs only what has changed. The package is always built as a wheel and installed from it, never from src.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

BIN := $(VENV)/bin
EXTRAS := .venv-extras
BUILD := .build
WHEEL = $$(echo $(BUILD)/relsim-*.whl)
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Folders count as well, so that a deleted file is noticed.
SOURCES := pyproject.toml README.md LICENSE $(shell find src/relsim -name '.?*' -prune -o -name __pycache__ -prune -o -print)

# Those that need nothing but the project. What runs beside the published package has a target of its own, because it
# makes a second environment; what needs a model of 16 GB on disk is run by hand.
BENCHMARKS := benchmarks/search.py benchmarks/embedded.py benchmarks/captioning.py

# Tests of what the locked set has not: they skip in `make test`, for these packages take gigabytes.
EXTRA_PACKAGES := fp8,lancedb,onnx,openvino,qdrant,ray,remote
EXTRA_BESIDE := moto[server] tensorboard tensorboardX
EXTRA_IMPORTS := gcsfs, lancedb, moto.server, onnx, onnxruntime, onnxscript, openvino, qdrant_client, ray.data, s3fs, \
	tensorboard, tensorboardX, torchao, usearch
EXTRA_TESTS := tests/cli/test_export_table.py tests/cli/test_index.py tests/cli/test_remote_sources.py \
	tests/data/test_remote.py tests/distributed tests/models/test_fp8.py tests/training/test_caption_samples.py \
	tests/training/test_portable_export.py tests/training/test_tracking.py tests/vectors/test_export.py \
	tests/vectors/test_qdrant.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-extras lint format bench bench-published clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: $(VENV)/.offline $(VENV)/.installed  ## Draw a world, score, caption, search and measure it, and report, offline
	rm -rf $(BUILD)/demo
	$(BIN)/relsim demo --out $(BUILD)/demo

# What measures time runs first and alone. After that, one thread a worker: workers that each use every core get in
# each other's way. A worker begins with its share in the order of the files, so that what a file shares is made once, and
# takes from another one at the end.
test: lint  ## Lint, types, layers, and the tests against the installed wheel
	$(BIN)/pytest -m timed tests/test_imports.py
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -m "not timed" -n $(JOBS) --dist worksteal

# One after the other: each Ray takes both cores. The imports come first, since a test whose package is broken would skip.
test-extras: $(EXTRAS)/.extras $(EXTRAS)/.installed  ## The tests that need Ray, stores, other engines and runtimes
	$(EXTRAS)/bin/python -c "import $(EXTRA_IMPORTS)"
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(EXTRAS)/bin/pytest $(EXTRA_TESTS)

lint: $(VENV)/.dev $(VENV)/.installed  ## Ruff, mypy (strict) and the import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.dev $(VENV)/.installed  ## Speed and memory of this package
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

bench-published: $(VENV)/.dev $(VENV)/.installed  ## The same work by the published package too, side by side
	$(BIN)/python benchmarks/against_published.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/published_checkpoint.py

clean:  ## Remove everything that make has made
	rm -rf $(VENV) $(EXTRAS) $(BUILD) .venv-published .benchmarks

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "The locked set of constraints.txt needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# The build tool comes from the locked set too, hence no isolated build.
$(VENV)/.builder: constraints.txt $(VENV)/.created
	$(PIP) install --quiet -c constraints.txt hatchling
	touch $@

$(BUILD)/.wheel: $(SOURCES) $(VENV)/.builder
	rm -rf $(BUILD)
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir $(BUILD) .
	touch $@

$(VENV)/.offline: pyproject.toml constraints.txt | $(BUILD)/.wheel
	$(PIP) install --quiet -c constraints.txt "$(WHEEL)[offline]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BUILD)/.wheel
	$(PIP) install --quiet -c constraints.txt "$(WHEEL)[download,endpoint,figures,index,offline,train,web,dev]"
	touch $@ $(VENV)/.offline

$(VENV)/.installed: $(BUILD)/.wheel
	$(PIP) install --quiet --no-deps --force-reinstall $(WHEEL)
	touch $@

$(EXTRAS)/.extras: pyproject.toml constraints.txt constraints-extras.txt | $(BUILD)/.wheel
	$(PYTHON) -m venv $(EXTRAS)
	awk -F== 'FNR == NR { own[tolower($$1)]; print; next } !(tolower($$1) in own)' \
		constraints-extras.txt constraints.txt > $(EXTRAS)/constraints.txt
	$(EXTRAS)/bin/python -m pip --disable-pip-version-check install --quiet -c $(EXTRAS)/constraints.txt \
		"$(WHEEL)[download,endpoint,figures,index,offline,train,web,dev,$(EXTRA_PACKAGES)]" $(EXTRA_BESIDE)
	touch $@

$(EXTRAS)/.installed: $(BUILD)/.wheel $(EXTRAS)/.extras
	$(EXTRAS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --force-reinstall $(WHEEL)
	touch $@
