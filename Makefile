# make train        set-up, then the detector on the bundled sample data set
# make test         set-up, then the tests
# make test-all     set-up, then every test: long trainings, downloads, the documentation
# make check        set-up, then ruff, mypy and the quick tests
# make coverage     set-up, then the tests, and the share of lines that they ran
# make types        set-up, then mypy alone: strict on models, weights, runtime
# make check-light  torch, mmengine and this package alone: models, weights, exported files
# make docs         set-up, then the documentation: docs/_build/index.html
# make links        set-up, then a look at every link to other sites (needs the network)
# make doctor       what the environment looks like, and the fix for each fault
#
# STACK=onedl (default) or upstream; VENV=folder of the environment; PYTHON=interpreter;
# TORCH=version; TORCH_INDEX=index of other builds of torch; MMCV=compiled for mmcv's own operators.

STACK ?= onedl
VENV ?= $(if $(filter upstream,$(STACK)),.venv-upstream,.venv)
LIGHT_VENV ?= .venv-light
PYTHON ?=
export TORCH TORCH_INDEX MMCV
# Python keeps what it compiles, whatever the shell says: without, each process of the tests and of
# a loader's workers compiles PyTorch and the toolboxes anew
export PYTHONDONTWRITEBYTECODE =

CONFIG := configs/det/retinanet_moganet_s.py
WORK_DIR := work_dirs/retinanet_moganet_s_mini
BIN := "$(VENV)/bin"
ANY_PYTHON := $(or $(shell command -v python3),$(shell command -v python),python3)
INSTALL := "$(or $(PYTHON),$(ANY_PYTHON))" requirements/install.py --stack "$(STACK)" --python "$(PYTHON)"
# Two processes of one thread each: most tests are too small for two threads
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: setup setup-test setup-docs setup-all train test test-all check coverage types check-light docs links doctor

setup:
	@$(INSTALL) --venv "$(VENV)" --for train

setup-test setup-docs setup-all:
	@$(INSTALL) --venv "$(VENV)" --for $(@:setup-%=%)

train: setup
	@echo "== training on data/mini (about 6 minutes on 2 cores)"
	$(BIN)/python tools/train.py $(CONFIG) --mini
	@echo "== evaluating, and drawing the detections into $(WORK_DIR)/detections"
	$(BIN)/python tools/test.py $(CONFIG) "$$(cat $(WORK_DIR)/last_checkpoint)" --mini \
		--show-dir $(WORK_DIR)/detections

test: setup-test
	$(PYTEST) -m "not long"

test-all: setup-all
	$(PYTEST)

check: setup-test types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -m "not slow and not long"

coverage: setup-test
	$(PYTEST) -m "not long" --cov --cov-report=html --cov-report=
	@echo "== lines that ran: $$($(BIN)/coverage report --format=total) %; each file: htmlcov/index.html"

types: setup-test
ifeq ($(STACK),onedl)
	$(BIN)/mypy
else
	@echo "== no check of types: those of torch 2.1 itself are incomplete"
endif

check-light:
	@$(INSTALL) --venv "$(LIGHT_VENV)" --for light
	OMP_NUM_THREADS=1 "$(LIGHT_VENV)/bin/python" -m pytest -n 2 --dist worksteal \
		-m "not slow and not long" tests/models tests/weights tests/runtime

docs: setup-docs
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build
	@echo "== written: docs/_build/index.html"

links: setup-docs
	$(BIN)/python -m sphinx -b linkcheck -q docs docs/_build/links

doctor: setup
	$(BIN)/python -m moganet_dense doctor
