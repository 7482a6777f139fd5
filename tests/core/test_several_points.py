"""Several points in one pass, and a function along the first axis, equal calls one by one, with the same ledger."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.backends.jax import arrays as jax_arrays
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import FULL, Oracles

BATCH = 16  # the last blocks hold 6 and 2 rows


def on_host(bk, tree):
    """Return nested lists of NumPy arrays."""
    if isinstance(tree, (list, tuple)):
        return [on_host(bk, item) for item in tree]
    return bk.to_numpy(tree)


def evaluate(backend, function, *args, problem=None):
    """Return (results, ledger) of a compiled ``function(oracles, *args)``; integers are traced under JAX."""
    oracles = helpers.make_oracles(problem or helpers.small_quadratic(), backend, BATCH)

    def counted(data, *args):
        fresh = Oracles(oracles.bk, oracles.spec, data)
        return function(fresh, *args), fresh.ledger.vector()

    bk = oracles.bk
    put = lambda a: a if isinstance(a, int) and backend == "torch" else bk.asarray(a)
    args = [put(a) for a in args]
    compiled, _ = bk.compile_once(counted, oracles.data, *args)
    result, counts = compiled(oracles.data, *args)
    return on_host(bk, result), dict(zip(ORACLES, map(int, counts), strict=True))


def body(o, z, x, ids, n, m):
    """Use most oracles, ragged blocks, and loops in loops with lengths that are known at run time only."""
    D_z, Hv, Cv = o.inner_joint(z, x, z, ids[0])
    F_z, F_x = o.grad_outer(z, x, ids[1] % 4)

    def inner_loop(k, v):
        return o.repeat(m + k, lambda j, u: u - 0.1 * o.hvp(z, x, u, ids[2]), v) + o.grad_inner(z, x, ids[3])

    v = o.repeat(n, inner_loop, Hv + F_z)
    w = o.cond(n > 1, lambda u: o.hvp(z, x, u, FULL), lambda u: u + o.grad_inner(z, x, ids[0]), v)
    return D_z, w, Cv + F_x + o.grad_inner_x(z, x, FULL)


def points(problem, n):
    """Return ``n`` pairs (z, x), different from each other."""
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(problem.inner_size), rng.standard_normal(problem.outer_size)) for _ in range(n)]


@pytest.mark.parametrize("n_points", [1, 2, 3])
@pytest.mark.parametrize("lengths", [(0, 2), (1, 0), (3, 2)])
def test_several_points_equal_calls_one_by_one(n_points, lengths, backend):
    flat = [a for point in points(helpers.small_quadratic(), n_points) for a in point]

    def pairs(args):
        return list(zip(args[::2], args[1::2], strict=True))

    def at_once(o, ids, n, m, *args):
        return o.at_points(lambda z, x: body(o, z, x, ids, n, m), *pairs(args))

    def one_by_one(o, ids, n, m, *args):
        return [body(o, z, x, ids, n, m) for z, x in pairs(args)]

    args = (np.array([4, 3, 1, 4], np.int32), *lengths, *flat)  # 4 and 3 are the ragged blocks
    (a, counts), (b, expected) = (evaluate(backend, f, *args) for f in (at_once, one_by_one))
    assert counts == expected
    assert counts["grad_inner"] > 0
    assert len(a) == n_points
    for found, exact in zip(a, b, strict=True):
        for x, y in zip(found, exact, strict=True):
            assert_allclose(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("traced", [True, False], ids=["lengths of each entry", "one length"])
def test_a_function_along_the_first_axis_equals_calls_one_by_one(groups, traced, backend, monkeypatch):
    M = 5
    rng = np.random.default_rng(2)
    problem = helpers.small_quadratic()
    if groups > 1:  # five entries in groups of two, the last one shorter
        monkeypatch.setattr(jax_arrays, "VMAP_BYTES", 2 * 4 * 8 * (problem.inner_size + problem.outer_size))
    u, w = rng.standard_normal((M, problem.inner_size)), rng.standard_normal((M, problem.outer_size))
    ids = np.array([[4, 3, 1, 4], [0, 0, 4, 2], [1, 2, 2, 1], [4, 1, 0, 0], [3, 3, 3, 4]], np.int32)
    lengths = np.array([0, 3, 1, 2, 5], np.int32)
    if backend == "torch":  # as plans are packed there: integers are Python's
        ids, lengths = ids.tolist(), lengths.tolist()

    def entries(o, u, w, ids, lengths):
        return (u, w, ids, lengths) if traced else (u, w)

    def function(o, ids0):
        def of_one(z, x, own=None, n=None):
            return body(o, z, x, ids0 if own is None else own, 2 if n is None else n, 1)

        return of_one

    def at_once(o, ids0, u, w, ids, lengths):
        return o.vmap(function(o, ids0), *entries(o, u, w, ids, lengths))

    def one_by_one(o, ids0, u, w, ids, lengths):
        rows = [function(o, ids0)(*(a[k] for a in entries(o, u, w, ids, lengths))) for k in range(M)]
        return [o.bk.xp.stack([row[i] for row in rows]) for i in range(3)]

    ids0 = np.array([4, 3, 1, 4], np.int32)
    found = []
    for f in (at_once, one_by_one):
        if backend == "torch":
            g = lambda o, ids0, u, w, f=f: f(o, ids0, u, w, ids, lengths)
            found.append(evaluate(backend, g, ids0, u, w))
        else:
            found.append(evaluate(backend, f, ids0, u, w, ids, lengths))
    (a, counts), (b, expected) = found
    assert counts == expected
    for x, y in zip(a, b, strict=True):
        assert x.shape[0] == M
        assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_reads_of_rows_do_not_grow_with_the_number_of_points(backend, monkeypatch):
    """Under torch the second point finds the rows of the first; under JAX a loop is traced once for all points."""
    reads = []
    original = Oracles.read_rows

    def read(self, level, batch):
        reads.append(level)
        return original(self, level, batch)

    monkeypatch.setattr(Oracles, "read_rows", read)
    for n in (1, 3):
        oracles = helpers.make_oracles(helpers.small_quadratic(), backend, BATCH)
        some = [tuple(map(oracles.bk.asarray, point)) for point in points(helpers.small_quadratic(), 3)][:n]
        body = lambda x, oracles=oracles: lambda k, z: z - 0.1 * oracles.grad_inner(z, x, 1)
        oracles.at_points(lambda z, x, oracles=oracles, body=body: oracles.repeat(2, body(x), z), *some)
        assert int(oracles.ledger.counts["grad_inner"]) == n * 2 * 16
        reads.append(n)
    assert reads[: reads.index(1)] == reads[reads.index(1) + 1 : -1]
