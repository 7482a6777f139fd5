"""JAX as the namespace of arrays that terms and solvers are written for: NumPy's functions and a few more."""

import types

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmark_utils.backends.jax import products, program


def _conv3x3(images, kernels):
    return lax.conv_general_dilated(images, kernels, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def namespace():
    """Return the functions that terms and solvers find as `xp`."""
    names = {name: getattr(jnp, name) for name in jnp.__all__} if hasattr(jnp, "__all__") else dict(vars(jnp))
    names |= {
        "logsumexp": lambda u, axis: jax.nn.logsumexp(u, axis=axis),
        "sigmoid": jax.nn.sigmoid,
        "segment_sum": lambda values, ids, n: jax.ops.segment_sum(values, ids, n),
        "add_rows": lambda table, ids, rows: table.at[ids].add(rows),  # in place once compiled
        "until_still": program.until_still,
        "split_sizes": lambda vector, sizes: jnp.split(vector, np.cumsum(sizes)[:-1]),
        "conv3x3": _conv3x3,
        "to_device_of": lambda a, like: a,
        "matvec": products.matvec,
        "vecmat": products.vecmat,
    }
    return types.SimpleNamespace(**names)
