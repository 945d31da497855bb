# wormfocus. Each target sets up what it needs in .venv; the second run is quick.
#
#   make demo          the main job on the simulated rig; no torch, no hardware
#   make test          the whole test suite, training and export included
#   make check         what a change must pass: lint, types, layers, test
#   make test-gpio     every GPIO library against a real kernel, in a small emulated machine (Debian, QEMU)
#   make test-camera   the real picamera2 on libcamera's virtual camera, in the same machine; WHERE=--here on this
#   make test-arm64    the install on an arm64 Debian without a network, by emulation; root, see tests/arm64
#   make test-service  the service under a real systemd in namespaces; root
#
# The interpreter is the first of these that runs and is of a supported version; PYTHON=... overrides it.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
endif

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PINS := constraints/pins.txt

# pip's default index may only have torch with CUDA, which is gigabytes that the tests do not need. The CPU
# build comes with: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

# Libraries that start a thread per core fight each other on small machines.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-gpio test-camera test-arm64 test-service check lint types layers format wheel test-lowest lowest bench clean

help:
	@sed -n 's/^#   //p' Makefile

# --- environments --------------------------------------------------------------------------------------

$(VENV)/base.stamp: pyproject.toml $(PINS)
	@test -n "$(PYTHON)" || { echo "wormfocus needs Python 3.11 to 3.13 with venv; install one or give PYTHON=..." >&2; exit 2; }
	@echo "setting up $(VENV) with $(PYTHON): about 0.5 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -c $(PINS) -e .
	@touch $@

$(VENV)/full.stamp: $(VENV)/base.stamp
	@echo "adding training, sweeps, export, signing and development tools to $(VENV): about 2.7 GB, once"
	@$(PIP) -c $(PINS) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch torchvision
	@$(PIP) -c $(PINS) -e '.[train,sweep,export,bench,sign,dev]'
	@touch $@

# --- use -----------------------------------------------------------------------------------------------

demo: $(VENV)/base.stamp
	$(BIN)/wormfocus demo

# A look at each benchmark that is quick, with short settings. scenario.py takes hours: run it on purpose.
bench: $(VENV)/base.stamp
	$(BIN)/python benchmarks/rendering.py --specimens 1 --frames 5
	$(BIN)/python benchmarks/tracker.py --specimens 1 --frames 3
	$(BIN)/python benchmarks/optics.py --specimens 1 --source-specimens 1

# --- checks --------------------------------------------------------------------------------------------

test: $(VENV)/full.stamp
	$(BIN)/pytest

check: lint types layers test

lint: $(VENV)/full.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/full.stamp
	$(BIN)/mypy

layers: $(VENV)/full.stamp
	$(BIN)/lint-imports

format: $(VENV)/full.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The script's exit status is 77 when it cannot run here, and its last line says why; make's own is then 2.
test-gpio: $(VENV)/base.stamp
	bash tests/vm/gpio.sh $(BIN)/python

test-camera: $(VENV)/base.stamp
	bash tests/vm_camera/camera.sh $(BIN)/python $(WHERE)

# The lower bounds of pyproject.toml are promises: the rig's packages are tested on exactly those versions.
LOWEST := .venv-lowest

$(LOWEST)/lowest.stamp: pyproject.toml constraints/lowest.txt
	@test -x $(LOWEST)/bin/python || python3.11 -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints/lowest.txt -e . pytest
	@touch $@

test-lowest: $(LOWEST)/lowest.stamp
	$(LOWEST)/bin/pytest tests/hw tests/calibration tests/edge tests/wormfocus/test_command.py tests/wormfocus/test_imports.py

# Both Pythons of Raspberry Pi OS; exits 77 and says why where it cannot run. Settings: head of tests/arm64/run.sh.
SUITES ?= bookworm trixie

test-arm64: $(VENV)/base.stamp
	@for suite in $(SUITES); do \
		PYTHON=$(abspath $(BIN)/python) tests/arm64/run.sh $$suite || exit $$?; done

test-service: $(VENV)/base.stamp
	PYTHON=$(abspath $(BIN)/python) tests/systemd/run.sh

# Write constraints/lowest.txt anew after a change of the bounds.
lowest: $(VENV)/base.stamp
	@$(PIP) uv
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --no-deps --resolution lowest-direct --python-version 3.11 \
		--output-file constraints/lowest.txt pyproject.toml

# The wheel must carry every data file that the packages read: rigs, recipes, bundles.
wheel: $(VENV)/base.stamp
	@rm -rf build dist
	@$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
	@$(BIN)/python -m zipfile --list dist/*.whl > dist/contents.txt
	@git ls-files 'hw/*' 'edge/*' 'calibration/*' 'training/*' 'export/*' 'wormfocus/*' | while read -r file; do \
		grep -qF "$$file " dist/contents.txt \
		|| { echo "the wheel lacks $$file; add it to package-data in pyproject.toml" >&2; exit 1; }; done
	@echo dist/*.whl

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
