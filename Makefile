# The two commands of the README: `make study` and `make test`. Both set up .venv
# first. PYTHON chooses the interpreter (3.11 or newer) that the environment is
# made with; ARGS passes flags on, as in `make study ARGS="--seeds=8"`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
BACKENDS = $(VENV)/.backends
OLDEST = .venv-oldest
CORE_TESTS = $(addprefix tests/test_, $(addsuffix .py, authors backup callback contract copying \
	custom_layers diagnostics distillation drawing forgetting fresh generations \
	keras_internals methods neighbors optimizers other_methods outputs own_initializers \
	planning recipes schedules teacher_cache unit_methods units weight_decay))
ARGS ?=
# Pinned, as all that is installed: what builds this package, then the rest.
TOOLS = python -m pip install --quiet --constraint
INSTALL = python -m pip install --quiet --no-build-isolation --constraint
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
# TensorFlow's notices that there is no GPU.
export TF_CPP_MIN_LOG_LEVEL ?= 3

study: $(READY)
	$(BIN)/python -m benchmarks.study $(ARGS)

test: $(READY)
	$(PYTEST) $(ARGS)

# The core on the other backends: the contract of all methods, and what it stands on.
test-backends: $(BACKENDS)
	for backend in jax torch; do \
		KERAS_BACKEND=$$backend $(PYTEST) $(CORE_TESTS) $(ARGS) || exit 1; \
	done

# The core on the oldest Keras and TensorFlow that setup.cfg admits.
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest --numprocesses 2 --dist worksteal $(CORE_TESTS) $(ARGS)

$(OLDEST)/.ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(OLDEST)
	sed -nE 's/^ *(keras|tensorflow)>=([0-9.]+).*/\1==\2/p' setup.cfg > $(OLDEST)/oldest.txt
	grep -vE '^(keras|tensorflow|tensorboard|protobuf|grpcio|ml_dtypes|h5py|flatbuffers)==' constraints.txt >> $(OLDEST)/oldest.txt
	$(OLDEST)/bin/$(TOOLS) constraints.txt pip setuptools wheel
	$(OLDEST)/bin/$(INSTALL) $(OLDEST)/oldest.txt --editable '.[data,tune,report,dev]'
	touch $@

# The tests of this tree on the code of an older commit, in a worktree: what fails
# there is what has been mended since. `make test-old REF=9cf5257`
REF ?= HEAD~1
OLD = build/old-$(REF)
test-old: $(READY)
	git worktree add --detach --force $(OLD) $(REF)
	rm -rf $(OLD)/tests && cp -r tests $(OLD)/tests
	cd $(OLD) && PYTHONPATH=$(CURDIR)/$(OLD) $(CURDIR)/$(PYTEST) -p no:cacheprovider --continue-on-collection-errors $(ARGS); \
		status=$$?; cd $(CURDIR) && git worktree remove --force $(OLD); exit $$status

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(ARGS)

# Needs Chromium: `apt-get install chromium chromium-driver`.
test-browser: $(READY)
	$(BIN)/$(INSTALL) constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest -m browser tests/test_browser.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Written last, so an interrupted installation is simply done again.
$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "keras_reinit needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(TOOLS) constraints.txt pip setuptools wheel
	$(BIN)/$(INSTALL) constraints.txt --editable '.[data,tune,report,dev]'
	touch $(READY)

$(BACKENDS): $(READY)
	$(BIN)/$(INSTALL) constraints.txt --editable '.[backends]'
	touch $(BACKENDS)

speed: $(BACKENDS)
	$(BIN)/$(INSTALL) constraints.txt --editable '.[speed]'
	$(BIN)/python -m benchmarks.speed --part=event $(ARGS)
	$(BIN)/python -m benchmarks.speed --part=input --cores=1 $(ARGS)
	$(BIN)/python -m benchmarks.speed --part=input $(ARGS)
	$(BIN)/python -m benchmarks.speed --part=distillation --rounds=200 $(ARGS)

clean:
	rm -rf $(VENV) $(OLDEST) build *.egg-info .pytest_cache .ruff_cache

.PHONY: study test test-backends test-browser test-old test-oldest test-slow speed lint clean
