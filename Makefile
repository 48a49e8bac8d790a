# Two commands do all: `make demo` and `make test`. Both install into .venv first, once.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DEMO_STAMP := .venv/installed-for-demo
TRAIN_STAMP := .venv/installed-for-training
SHARED := ../shared
# Some containers forbid Python to keep what it compiled, and uv compiles nothing: then each process of a test compiles
# all it imports.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo demo-train test test-all lint format docs data constraints clean

demo: $(DEMO_STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo.sh

demo-train: $(TRAIN_STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo_train.sh

# COVERAGE: what .ci/run adds to count the lines that run.
test: $(STAMP)
	$(BIN)/pytest $(COVERAGE) -n auto --dist worksteal -m "not slow and not data and not alone"
	$(BIN)/pytest -m alone

test-all: $(STAMP)
	$(BIN)/pytest

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python scripts/words.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site, in docs/_build/html. Needs no network; warnings are errors.
docs: $(STAMP)
	$(BIN)/sphinx-build -b html -E -W --keep-going docs docs/_build/html

# The real data, prepared once: about fifteen seconds on two cores.
data: $(STAMP)
	$(BIN)/facesearch prepare $(SHARED)/data/celebA_train_500 --out data/celeba500
	$(BIN)/facesearch prepare $(SHARED)/data/celebA_extra --out data/celeba_extra
	$(BIN)/facesearch prepare $(SHARED)/data/celebA_ir --out data/celeba_ir

$(STAMP): pyproject.toml constraints.txt
	PYTHON=$(PYTHON) bash scripts/install.sh dev,demo
	touch $(DEMO_STAMP) $(TRAIN_STAMP) $(STAMP)

# What the demo runs with: a user's installation, without torch and without the tests' packages.
$(DEMO_STAMP): pyproject.toml constraints.txt
	PYTHON=$(PYTHON) bash scripts/install.sh demo
	touch $(DEMO_STAMP)

$(TRAIN_STAMP): pyproject.toml constraints.txt
	PYTHON=$(PYTHON) bash scripts/install.sh train
	touch $(TRAIN_STAMP)

# The newest versions of everything that pyproject.toml allows, for every Python from 3.11 on. Then run the tests.
constraints: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --no-annotate \
	  --custom-compile-command "make constraints" --quiet --output-file constraints.txt

clean:
	rm -rf .venv .ci/venv dist demo build docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
