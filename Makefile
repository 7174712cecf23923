# The two commands of the README: `make study` and `make test`. Both set up .venv
# first. PYTHON chooses the interpreter (3.11 or newer) that the environment is
# made with; ARGS passes flags on, as in `make study ARGS="--seeds=8"`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
ARGS ?=
# TensorFlow's notices that there is no GPU.
export TF_CPP_MIN_LOG_LEVEL ?= 3

study: $(READY)
	$(BIN)/python -m benchmarks.study $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Written last, so an interrupted installation is simply done again.
$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "keras_reinit needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[data,tune,report,dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache

.PHONY: study test test-slow lint clean
