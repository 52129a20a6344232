# `make demo` and `make test` do all the set-up they need: Debian's packages for Python aside, only this file.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# two at a time: a model of the tests keeps one core busy; tests/conftest.py says which files share a process
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow install lint clean

demo: install
	$(BIN)/cl demo --dir perennial-demo

test: install
	$(BIN)/python -m pytest $(TWO)

test-slow: install
	$(BIN)/python -m pytest -m slow $(TWO) --durations 15

install: $(VENV)/installed

# torch first: its CPU build must be there before anything asks for any torch; pip would compile all on one processor
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || (echo "make: needs $(PYTHON) with venv: apt-get install python3 python3-venv" && false)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[demo,dev]'
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null 2>&1 || true # some carry templates that are no Python
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) perennial-demo
