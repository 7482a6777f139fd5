import os
import sys
from pathlib import Path

import psutil
import pytest

# The suite runs as many processes as there are cores: one thread each, set before any framework is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Programs of the tests are small and run briefly: compiling them is what takes time, and half of it goes into emitters.
os.environ.setdefault("XLA_FLAGS", (Path(__file__).parent / "xla_flags").read_text(encoding="utf-8").strip())
# Many tests build the same program: it is compiled once for all of them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
# The root comes first: tests/tools must not hide the package tools.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from threadpoolctl import threadpool_limits

import helpers
from benchmark_utils.running import search_space

threadpool_limits(limits=1)  # for libraries that a pytest plugin imported before this file


def pytest_configure():
    """Tests take the starts of the ranges, whatever has been tuned."""
    search_space.TUNED_FOLDER = Path(__file__).parent / "nothing tuned"


def pytest_generate_tests(metafunc):
    """Cross the tests that ask for ``stem`` (a solver file), ``backend`` or ``problem_name`` with all there are."""
    if "stem" in metafunc.fixturenames:
        metafunc.parametrize("stem", sorted(helpers.step_solvers()))
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", helpers.BACKENDS)
    if "problem_name" in metafunc.fixturenames:
        metafunc.parametrize("problem_name", list(helpers.PROBLEMS))


@pytest.fixture
def solver_class(stem):
    """Return the solver class of a file."""
    return helpers.step_solvers()[stem]


@pytest.fixture
def problem(problem_name):
    """Return a problem, or skip with the reason where its data cannot be had."""
    return helpers.PROBLEMS[problem_name]()


#: Files of tests/contract and tests/core whose JAX cases are quick tests too: one program a solver, which several tests
#: share, or nothing that takes long to compile.
BY_JAX = (
    "test_every_solver.py",
    "test_host_solvers.py",
    "test_host_files.py",
    "test_clock.py",
    "test_budgets.py",
    "test_journal.py",
    "test_requirements.py",
    "test_shuffle_and_streams.py",
)

#: Solvers whose case of a test takes longest, left to `make test-all`.
DEAR = {
    "test_full_batches_reach_the_known_limit": (
        "vrbo", "stocbio", "aid_fp", "subbio", "itd_bio", "lancbio", "srba", "stable_vr"
    ),
    "test_trajectories_agree_between_backends": (
        "vrbo", "stable", "stable_vr", "hozog", "pzobo", "mrbo", "f2sa_p", "ba", "aid_cg"
    ),
    "test_run_does_not_depend_on_how_it_is_cut": ("vrbo",),
}  # fmt: skip

#: This process; tests may replace the class.
PROCESS = psutil.Process()

#: Memory (bytes) by which a process may grow before what has been compiled is forgotten.
MOST_GROWTH = 1 << 30

#: Memory of this process when it last forgot: data sets that stay loaded are no reason to compile again.
FORGOT_AT = [1 << 30]


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items):
    """Keep the tests of a solver, and of a large file, in one process.

    What torch shows in a tenth of the time is left to `make test-all` by JAX.
    """
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {})
        for name in ("stem", "run_stem", "file_stem", "file"):
            if name in values:
                item.add_marker(pytest.mark.xdist_group(values[name]))
        if values.get("problem_name") == "ijcnn1" and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("ijcnn1"))  # its rows are read by one process
        if values.get("stem") in DEAR.get(item.originalname, ()):
            item.add_marker(pytest.mark.slow)
        folder, by_jax = item.path.parent.name, values.get("backend") == "jax"
        if folder in ("contract", "core") and item.path.name not in BY_JAX and by_jax:
            item.add_marker(pytest.mark.slow)


def pytest_runtest_teardown(item):
    """Forget compiled programs before they fill the memory."""
    if PROCESS.memory_info().rss > FORGOT_AT[0] + MOST_GROWTH:
        helpers.forget_what_is_compiled()
        FORGOT_AT[0] = PROCESS.memory_info().rss
