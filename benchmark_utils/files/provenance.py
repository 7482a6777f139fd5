"""The record of what a run depended on, stored with every run."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

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


def environment(problem, seed, run_facts):
    """Return the environment record: versions, machine, settings, git state, data hashes and seeds.

    Outside a git checkout, as in an archive of the project, ``git_commit`` and ``git_dirty`` are None.

    Parameters
    ----------
    problem : Problem
    seed : int
        Seed of the repetition.
    run_facts : dict
        What the solver knows: backend, device, precision, matmul precision, framework version.
    """
    changes = _git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {package: _version(package) for package in PACKAGES},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "data_hashes": problem.card.hashes,
        "data_seed": problem.data_seed,
        "seed": seed,
        **run_facts,
    }
