# make train   set-up, then the detector on the data set that ships
# make test    set-up, then all tests
# make check   set-up, then ruff and the quick tests
# make docs    set-up, then the documentation: docs/_build/index.html
# make links   set-up, then a look at every link to other sites (needs the network)
#
# STACK=onedl (default) or upstream; VENV=folder of the environment; PYTHON=interpreter.

STACK ?= onedl
VENV ?= $(if $(filter upstream,$(STACK)),.venv-upstream,.venv)
PYTHON ?=

CONFIG := configs/det/retinanet_moganet_s.py
WORK_DIR := work_dirs/retinanet_moganet_s_mini
BIN := "$(VENV)/bin"

.PHONY: setup train test check docs links doctor

setup:
	@bash requirements/install.sh "$(VENV)" "$(STACK)" "$(PYTHON)"

train: setup
	@echo "== training on data/mini (about 6 minutes on 2 cores)"
	$(BIN)/python tools/train.py $(CONFIG) --mini
	@echo "== evaluating, and drawing the detections into $(WORK_DIR)/detections"
	$(BIN)/python tools/test.py $(CONFIG) "$$(cat $(WORK_DIR)/last_checkpoint)" --mini \
		--show-dir $(WORK_DIR)/detections

# Two processes of one thread each: most tests are too small for two threads
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

docs: setup
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build
	@echo "== written: docs/_build/index.html"

links: setup
	$(BIN)/python -m sphinx -b linkcheck -q docs docs/_build/links

doctor: setup
	$(BIN)/python -m moganet_dense doctor
