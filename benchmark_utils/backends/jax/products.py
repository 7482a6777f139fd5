"""Products of a block of rows with one vector on JAX: the fastest form on a CPU for short rows, measured.

XLA calls a library for products with several vectors, which costs microseconds where the block holds 64 rows of 22
features (IJCNN1): there a sum of products, which it fuses with the reading of the rows, takes a quarter less time. From
about 50 features on the library wins.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

#: Longest rows for which a sum of products is faster.
SHORT = 32


@custom_vmap
def matvec(A, z):
    """Return A z, shape (b,), for A of shape (b, p) and z of shape (p,)."""
    return jnp.sum(A * z, axis=1) if A.shape[1] <= SHORT else A @ z


@matvec.def_vmap
def _(axis_size, in_batched, A, z):
    own_rows = in_batched[0]  # members of a sweep: one library call for all
    one = (lambda A, z: jnp.sum(A * z, axis=1)) if A.shape[-1] <= SHORT and not own_rows else (lambda A, z: A @ z)
    axes = tuple(0 if batched else None for batched in in_batched)
    return jax.vmap(one, in_axes=axes, axis_size=axis_size)(A, z), True


@custom_vmap
def vecmat(r, A):
    """Return A^T r, shape (p,), for r of shape (b,) and A of shape (b, p): no transposed copy of A is made."""
    return (r[None, :] @ A)[0]


@vecmat.def_vmap
def _(axis_size, in_batched, r, A):
    short = A.shape[-1] <= SHORT and not in_batched[1]
    one = (lambda r, A: jnp.sum(r[:, None] * A, axis=0)) if short else (lambda r, A: r @ A)
    axes = tuple(0 if batched else None for batched in in_batched)
    return jax.vmap(one, in_axes=axes, axis_size=axis_size)(r, A), True
