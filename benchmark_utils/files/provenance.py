"""The record of what a run depended on, stored with every run."""

import importlib.metadata
import multiprocessing
import os
import platform
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

    The workers of joblib and of Dask are children of one process, started by the same command but for its numbers.
    """
    if multiprocessing.current_process().name == "MainProcess":
        return 1
    try:
        me = psutil.Process()
        return max(1, sum(_alike(child.cmdline(), me.cmdline()) for child in me.parent().children()))
    except psutil.Error:  # one of them has just ended
        return 1


def _alike(command, other):
    numberless = lambda words: [word.split("(")[0] for word in words[:3]]
    return numberless(command) == numberless(other)


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
