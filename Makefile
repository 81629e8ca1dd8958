# Everything a person or a CI job does here, by name. Needs Python 3.11 or newer and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
QUICKSTART ?= quickstart-run
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# pip applies this to build environments too, so that setuptools is pinned as well.
export PIP_CONSTRAINT = $(CURDIR)/constraints.txt

.PHONY: help install test faults lint check quickstart clean

help:
	@echo "make quickstart  install and run a complete small study (about 4 minutes)"
	@echo "make test        install and run the tests"
	@echo "make faults      kill drivers, workers and servers by the hundred (about 40 minutes)"
	@echo "make lint        ruff, mypy and the import directions"
	@echo "make check       lint and test, as CI does"
	@echo "make clean       remove the environment and the quick-start run"

# The stamp is renewed only when what is installed changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; install it or set PYTHON=..."; exit 5; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; set PYTHON=..."; exit 5; }
	"$(PYTHON)" -m venv $(VENV)
	@echo "Installing (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --progress-bar off -e '.[test,lint]'
	@touch $@

install: $(VENV)/.installed

test: install
	$(BIN)/python -m pytest

# The quick set of these is part of `make test`.
faults: install
	FAULTS=long $(BIN)/python -m pytest tests/faults

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_import_directions.py

check: lint test

quickstart: install
	@echo "1/3 Searching: 10 small trials (interrupt and repeat at will)"
	$(BIN)/sitenet search run experiments/quickstart/study.yaml --dir $(QUICKSTART) --resume
	@echo "2/3 Promoting the best trial: long training, one test, registration"
	$(BIN)/sitenet promote quickstart --dir $(QUICKSTART)
	@echo "3/3 Predicting the density of rock-salt MgO (experiment: 3.58 g/cm3) from its CIF"
	$(BIN)/sitenet predict models:/quickstart-density@champion experiments/quickstart/rocksalt.cif --dir $(QUICKSTART)
	@echo
	@echo "Look at $(QUICKSTART)/quickstart/promotion/table.md, or at every trial in MLflow:"
	@echo "    $(BIN)/sitenet ui --dir $(QUICKSTART)"

clean:
	rm -rf $(VENV) $(QUICKSTART)
