# make demo: install and see it work.  make test: everything that continuous integration runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint gpu clean

demo: $(VENV)/.installed
	$(BIN)/gnnzoo table demo --fill

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

gpu: $(VENV)/.tested
	$(BIN)/python -m pytest -m cuda
	$(BIN)/gnnzoo bench --device cuda --csv experiments/gpu

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV), about two minutes"
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

# torch-scatter compiles against the torch that is installed, hence no build isolation. CUDA builds of
# torch bring their own Triton; elsewhere its interpreter runs the kernels in tests.
$(VENV)/.tested: $(VENV)/.installed
	@echo "installing what the tests need; torch-scatter compiles for some minutes"
	$(PIP) install --quiet -c constraints.txt -e '.[dev,tune]' setuptools wheel ninja hatchling editables
	$(PIP) install --quiet -c constraints.txt --no-build-isolation torch-scatter
	$(BIN)/python -c "import triton" 2> /dev/null || $(PIP) install --quiet triton==3.6.0
	touch $@
