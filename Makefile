# `make help` lists the targets. `make demo` and `make test` do all the set-up they need: Debian's packages for Python aside, only this file.
# TORCH_INDEX=URL takes PyTorch from the index that its installation page names for a CPU, or for a release of CUDA.
ADMITTED := 3.14 3.13 3.12 3.11
# the newest Python on the path that the dependencies admit and that can make an environment
PYTHON ?= $(shell for version in $(ADMITTED); do for name in python$$version python3 python; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit("%d.%d" % sys.version_info[:2] != "'$$version'")' 2> /dev/null \
	&& command -v $$name && exit; done; done)
VENV ?= .venv
BIN := $(VENV)/bin
# two at a time: a model of the tests keeps one core busy
TWO := -n 2

.PHONY: help demo test test-e2e nightly install lint docs docs-reference screenshots constraints-hashed clean

demo: $(VENV)/with-demo
	@test ! -e perennial-demo/cl.yaml || test -n '$(FRESH)' || { echo 'make: perennial-demo is there already:' \
		'`make demo FRESH=1` replaces it, `$(BIN)/cl status -p perennial-demo` shows it'; false; }
	$(BIN)/cl demo --dir perennial-demo $(if $(FRESH),--fresh)

help:
	@echo 'make demo          install what the demo needs, and replay six months of a sample stream; FRESH=1 replaces a demo'
	@echo 'make test          unit, contract and integration tests'
	@echo 'make test-e2e      whole stories and faults'
	@echo 'make nightly       every test, in full: hours'
	@echo 'make lint          style and types'
	@echo 'make docs          the documentation, in site/'
	@echo 'make screenshots   the pictures of the documentation, from a demo of its own'
	@echo 'make install       the environment of developers'
	@echo 'make clean         remove the environment, the demo and what was built'
	@echo 'Variables: PYTHON=python3.12 (any of $(ADMITTED)), VENV=path, TORCH_INDEX=URL'

# units, contracts and integration, with what they cost and cover
test: install
	$(BIN)/python -m pytest $(TWO) --dist worksteal --durations 15 --cov --cov-report term

# whole stories and faults, as many as fit before a change lands; tests/support/folders.py says which share a process
test-e2e: install
	$(BIN)/python -m pytest -m '(e2e or faults) and not nightly' $(TWO) --dist loadfile --no-loadscope-reorder --durations 15

# everything, in full: hours
nightly: install
	$(BIN)/python -m pytest -m '' $(TWO) --dist loadfile --no-loadscope-reorder --durations 40

install: $(VENV)/installed

# torch first: its build for this machine must be there before anything asks for any; pip would compile all on one processor
define FILL
	@test -n '$(PYTHON)' || { echo 'make: needs one of Python $(ADMITTED) with venv (on Debian: apt-get install python3-venv); name one that is not found: make demo PYTHON=/path/to/python3.12'; false; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt $(if $(TORCH_INDEX),--index-url '$(TORCH_INDEX)') torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[$(1)]'
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null 2>&1 || true # some carry templates that are no Python
endef

# what the demo needs, without the developers' tools
$(VENV)/with-demo: pyproject.toml constraints.txt
	$(call FILL,demo)
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt
	$(call FILL,dev)
	touch $(VENV)/with-demo $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the documentation, built strictly into site/
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# the table of all keys in the documentation, from the configuration itself
docs-reference: install
	$(BIN)/python bench/put_reference.py

# the pictures of the documentation, from a project that `cl demo` has made; needs Chromium
PROJECT ?= perennial-demo
screenshots: install
	PYTHONPATH=. $(BIN)/python bench/screenshots.py $(PROJECT)

# the constraints with the digests of their files, for this Python and machine: a release artefact
constraints-hashed: dist/constraints-hashed.txt

dist/constraints-hashed.txt: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'make: needs one of Python $(ADMITTED) with venv, or PYTHON=path'; false; }
	$(PYTHON) bench/hash_constraints.py $@

clean:
	rm -rf $(VENV) perennial-demo site dist
