PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv run site compare lint test test-all mutants clean

venv: .venv/.installed

.venv/.installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	touch $@

# Four algorithms, two backends, four problems, three repetitions. Interrupt it and start it again: finished
# curves are kept in __cache__, and collected into a result file.
run: venv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tools.guarded run . --config configs/quickstart.yml --no-display
	$(BIN)/python -m tools.dashboard
	$(BIN)/python -m tools.summary

# A solver of yours beside the reference results: make compare SOLVER=Mine; options in ARGS (docs/compare.md).
compare: venv
	$(BIN)/python -m tools.compare "$(SOLVER)" $(ARGS)

# The site of outputs/reference, or of the newest result: plain files in site/, which load nothing from elsewhere.
site: venv
	$(BIN)/python -m tools.site

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadgroup
# Compiling is what takes time in tests; tests/conftest.py reads the same file.
BENCHOPT_TEST = XLA_FLAGS="$$(cat tests/xla_flags)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/benchopt test . --skip-install -n 2

# Lint, the tests that are quick, and benchopt's own checks.
test: lint
	$(PYTEST) -m "not slow"
	$(BENCHOPT_TEST)

# The same with the tests marked slow.
test-all: lint
	$(PYTEST)
	$(BENCHOPT_TEST)

# Plant deliberate faults one by one; each must turn a test red.
mutants: venv
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.mutants

clean:
	rm -rf __cache__ .pytest_cache .ruff_cache
