"""Backends: JAX, eager torch and compiled torch behind about a dozen primitives.

A framework is imported when its backend is asked for, never before; `why_unavailable` says in a sentence why a
backend cannot be had, and solvers are skipped with it.

The namespace ``backend.xp`` that losses are written against is the framework's own, extended by ``logsumexp(u,
axis)``, ``sigmoid(u)``, ``segment_sum(values, ids, n)``, ``split_sizes(vector, sizes)``, ``matvec(A, z)``, ``vecmat(r,
A)`` and ``to_device_of``.
"""

import importlib
import importlib.util
import os

MODULES = {"jax": "jax.arrays", "torch": "torch.eager", "torch-compiled": "torch.inductor"}
BACKENDS = tuple(MODULES)
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "float64")


def why_unavailable(backend, device="auto", precision="float32"):
    """Return a sentence saying why the backend cannot be used here, or None if it can."""
    for label, value, choices in (
        ("backend", backend, BACKENDS),
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in choices:
            return f"{label} is {value!r:.60}; choose one of {', '.join(choices)}."
    package = backend.split("-")[0]
    if os.environ.get(f"BILEVEL_DISABLE_{package.upper()}"):
        return f"the backend {backend} is disabled by the environment variable BILEVEL_DISABLE_{package.upper()}."
    if importlib.util.find_spec(package) is None:
        return f"the package {package} is not installed; `pip install {package}` or choose another backend."
    return _module(backend).why_unavailable(backend, device)


def get_backend(backend, device="auto", precision="float32"):
    """Return a backend object, importing its framework.

    Raises
    ------
    ValueError
        If the backend cannot be used here; the message is that of `why_unavailable`.
    """
    reason = why_unavailable(backend, device, precision)
    if reason is not None:
        raise ValueError(reason)
    return _module(backend).make(backend, device, precision)


def _module(backend):
    return importlib.import_module(f"benchmark_utils.backends.{MODULES[backend]}")


def at_positions(f, args, positions):
    """Return ``f`` as a function of its arguments at the positions, the others being those of ``args``."""

    def function(*chosen):
        full = list(args)
        for position, value in zip(positions, chosen, strict=True):
            full[position] = value
        return f(*full)

    return function
