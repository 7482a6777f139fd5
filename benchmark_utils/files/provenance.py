"""The record of what a run depended on, stored with every run."""

import importlib.metadata
import multiprocessing
import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

PACKAGES = ("benchopt", "numpy", "scipy", "scikit-learn", "jax", "jaxlib", "torch", "array-api-compat")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments):
    try:
        out = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            encoding="utf-8",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip()


def n_workers():
    """Return how many processes of this run compute on this machine at the same time: 1 without ``-j``.

    The workers of joblib and of Dask are children of one process, or of several such as two ``dask worker``, and were
    started by the same command but for its numbers. Jobs of SLURM have cores of their own (`n_cores`) and count as one;
    those that submitit runs here in its place are counted like workers.
    """
    here = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    if multiprocessing.current_process().name == "MainProcess" and not here:
        return 1
    me = psutil.Process()
    try:
        mine, parents = _command(me), _command(me.parent())
    except psutil.Error:  # whoever started it is gone
        return 1
    return max(1, sum(_is_like(process, mine, parents) for process in psutil.process_iter()))


def _is_like(process, command, parents):
    try:
        return _command(process) == command and _command(process.parent()) == parents
    except (psutil.Error, AttributeError):  # it has just ended, is another user's, or has no parent
        return False


def _command(process):
    """Return the command of a process without the numbers in it."""
    return [re.sub(r"\d+", "", word) for word in process.cmdline()]


def n_cores():
    """Return how many cores this process may use: fewer than there are where it is pinned to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def environment(problem, seed, run_facts, workers=1):
    """Return the environment record: versions, machine, settings, git state, data hashes and seeds.

    Outside a git checkout, as in an archive of the project, ``git_commit`` and ``git_dirty`` are None.

    Parameters
    ----------
    problem : Problem
    seed : int
        Seed of the repetition.
    run_facts : dict
        What the solver knows: backend, device, precision, matmul precision, framework version.
    workers : int
        How many processes of the run share the machine, see `n_workers`.
    """
    changes = _git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "cpus_allowed": n_cores(),
        "load_at_the_end": psutil.getloadavg()[0],
        "workers": workers,
        "versions": {package: _version(package) for package in PACKAGES},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "data_hashes": problem.card.hashes,
        "data_seed": problem.data_seed,
        "seed": seed,
        **run_facts,
    }
