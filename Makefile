PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv run lint test test-all clean

venv: .venv/.installed

.venv/.installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	touch $@

# Four algorithms, two backends, four problems, three repetitions. Interrupt it and start it again: finished
# curves are kept in __cache__.
run: venv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/benchopt run . --config configs/quickstart.yml --no-display
	$(BIN)/python -m tools.dashboard
	$(BIN)/python -m tools.summary

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# The tests that are quick; `make test-all` takes those marked slow too, and benchopt's own.
test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/benchopt test . --skip-install

clean:
	rm -rf __cache__ .pytest_cache .ruff_cache
