"""Runs of pytest on copies of the tree, each in a process of its own.

The processes are forks of one that has imported the frameworks already, which saves most of the
time of a short test.
"""

import importlib
import os
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

#: Arguments of every run.
ARGUMENTS = ("--no-header", "-q", "-x", "-p", "no:cacheprovider")

#: Seconds after which a run is ended.
LONGEST = 300.0

#: What a copy leaves out.
LEFT_OUT = (".git", ".venv", "__cache__", "__pycache__", "outputs", ".*_cache", "shared")

#: What most tests import; nothing of the project.
FRAMEWORKS = (
    "array_api_compat.torch", "benchopt.benchmark", "jax.numpy", "numpy", "pandas", "psutil",
    "scipy.optimize", "scipy.sparse", "sklearn.datasets", "sklearn.metrics",
    "sklearn.model_selection", "torch.utils._pytree",
)  # fmt: skip

#: Set before the frameworks are imported. Byte code is not kept: two faults of one length would
#: be taken for the same file.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}


class Outcome(NamedTuple):
    """How a run of pytest ended."""

    status: str  # "red", "green", "skipped" (no test ran), "broken" or "too long"
    seconds: float
    output: str


class Running(NamedTuple):
    """A run that has not ended."""

    key: object
    copy: Path
    began: float
    restore: tuple  # (path, its bytes), or () for a clean copy


def import_frameworks():
    """Import what the forks share."""
    os.environ.update(ENVIRONMENT)
    sys.dont_write_bytecode = True
    for name in FRAMEWORKS:
        importlib.import_module(name)


def make_copy(folder):
    """Copy the tree to a new folder and return it."""
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT)))


def run_all(tasks, copies):
    """Run tasks, as many at a time as there are copies, and yield (key, Outcome) as they end.

    Parameters
    ----------
    tasks : iterable of (key, arguments of pytest, Fault or None)
    copies : list of Path
    """
    tasks, free, running = list(tasks), list(copies), {}
    while tasks or running:
        while tasks and free:
            key, arguments, fault = tasks.pop(0)
            copy = free.pop()
            restore = _plant(copy, fault) if fault is not None else ()
            running[_start(copy, arguments)] = Running(key, copy, time.monotonic(), restore)
        time.sleep(0.05)
        for pid, run in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            late = time.monotonic() - run.began > LONGEST
            if not ended and late:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if ended or late:
                if run.restore:
                    run.restore[0].write_bytes(run.restore[1])
                free.append(run.copy)
                del running[pid]
                code = os.waitstatus_to_exitcode(status) if ended else None
                yield run.key, _outcome(code, time.monotonic() - run.began, _output(run.copy))


def _plant(copy, fault):
    """Write the fault into the copy and return what takes it back."""
    path = copy / fault.file
    before = path.read_bytes()
    path.write_text(fault.planted(before.decode("utf-8")), encoding="utf-8")
    return path, before


def _output_of(copy):
    return copy.with_suffix(".out")


def _output(copy):
    return _output_of(copy).read_text(encoding="utf-8", errors="replace")


def _outcome(code, seconds, output):
    ran = re.search(r"\d+ (passed|failed|error)", output) is not None
    words = {None: "too long", 0: "green" if ran else "skipped", 1: "red"}
    return Outcome(words.get(code, "broken"), seconds, output)


def _start(copy, arguments):
    """Fork; the child runs pytest in the copy. Return its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setpgid(0, 0)  # with the processes that tests start
        file = os.open(_output_of(copy), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(file, stream)
        os.chdir(copy)
        sys.path[:] = [p for p in sys.path if Path(p or ROOT).resolve() not in (ROOT, copy)]
        sys.path.insert(0, str(copy))
        for name in [n for n in sys.modules if n == "tests" or n.startswith("tests.")]:
            del sys.modules[name]
        code = int(pytest.main([*ARGUMENTS, *shlex.split(arguments)]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
