"""Products of a block of rows with one vector on JAX: the fastest form on a CPU for short rows, measured.

For 64 rows of 22 features (IJCNN1) most of an iteration goes into these two products. Where rows are kept column by
column (`ByColumns`) both are sums that run along the rows and are fused with the reading: a third less time than the
fastest form found for rows, a sum and a library call. From about 50 features on the library wins in both.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from benchmark_utils.oracles.blocks import SHORT, are_short

#: Fewer vectors than these (the two points of one method) are multiplied by sums: for them a call of the library costs
#: more. From three on, and for the points of several members of a sweep, it is the library: MRBO with 16 members takes
#: 0.83 ms an iteration where the sums of its points took 6.8.
FEW_VECTORS = 3


@custom_vmap
def matvec(A, z):
    """Return A z, shape (b,), for A of shape (b, p) and z of shape (p,)."""
    return jnp.sum(A * z, axis=1) if A.shape[1] <= SHORT else A @ z


@matvec.def_vmap
def _(axis_size, in_batched, A, z):
    if not in_batched[0] and A.shape[-1] <= SHORT and axis_size < FEW_VECTORS:
        return _few_matvecs(A, z), True
    if not in_batched[0]:  # members of a sweep share the rows: one matrix product, no copy of A
        return lax.dot_general(z, A, (((1,), (1,)), ((), ()))), True
    return jax.vmap(lambda A, z: A @ z, in_axes=(0, 0 if in_batched[1] else None))(A, z), True


@custom_vmap
def vecmat(r, A):
    """Return A^T r, shape (p,), for r of shape (b,) and A of shape (b, p): no transposed copy of A is made."""
    if are_short(*A.shape):
        return jnp.sum(A * lax.optimization_barrier(r)[:, None], axis=0)  # else r is computed once for each column
    return (r[None, :] @ A)[0]


@vecmat.def_vmap
def _(axis_size, in_batched, r, A):
    if not in_batched[1] and A.shape[-1] <= SHORT and axis_size < FEW_VECTORS:
        return _few_vecmats(r, A), True
    if not in_batched[1]:
        return r @ A, True
    return jax.vmap(lambda r, A: r @ A, in_axes=(0 if in_batched[0] else None, 0))(r, A), True


@custom_vmap
def _few_matvecs(A, Z):
    """Return A z for each row z of Z, shape (n, b)."""
    return jax.vmap(lambda z: jnp.sum(A * z, axis=1))(Z)


@_few_matvecs.def_vmap
def _(axis_size, in_batched, A, Z):
    if axis_size == 1 and not in_batched[0]:  # a single member is as a single run
        return _few_matvecs(A, Z[0])[None], True
    return jnp.matmul(Z, jnp.swapaxes(A, -1, -2)), True


@custom_vmap
def _few_vecmats(R, A):
    """Return A^T r for each row r of R, shape (n, p)."""
    return jax.vmap(lambda r: jnp.sum(r[:, None] * A, axis=0))(R)


@_few_vecmats.def_vmap
def _(axis_size, in_batched, R, A):
    if axis_size == 1 and not in_batched[1]:
        return _few_vecmats(R[0], A)[None], True
    return jnp.matmul(R, A), True
