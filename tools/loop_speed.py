"""Time one outer iteration of a solver, ledger and draws included, next to hand-written JAX loops.

The two loops below are the shortest `lax.scan` loops with automatic differentiation that do the work of SOBA and of
StocBiO on data of IJCNN1's shape: fixed blocks, no ragged end, no ledger, all draws on the device beforehand. All
timings alternate within one process, and the best of several rounds is kept, because the machine may be shared.

Usage: python -m tools.loop_speed [rounds]
"""

import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils.problem import Card, Level, Problem
from benchmark_utils.quadratic import quadratic_problem
from benchmark_utils.timed_solver import put_at_start

N, M, D, B, T, Q = 49_990, 91_701, 22, 64, 10, 10


def ijcnn1_shaped(rng):
    """Return a problem of IJCNN1's shape, ragged ends included, with made-up rows."""
    w = rng.standard_normal(D)

    def level(n, penalty):
        features = rng.standard_normal((n, D))
        targets = np.sign(features @ w + rng.standard_normal(n))
        return Level("logistic", {"features": features, "targets": targets}, penalty=penalty)

    start = lambda rng: (np.zeros(D), np.zeros(D))
    card = Card(title="IJCNN1-shaped", formula="", source="made up", licence="none needed")
    inner, outer = level(N, ("exp_features", 1.0)), level(M, None)
    return Problem("ijcnn1_shaped", inner, outer, (D,), (D,), init=start, reference=None, card=card)


def hand_written(problem, rng, n_iter):
    """Return dict of name to a function that runs ``n_iter`` iterations of a hand-written loop and waits."""
    cut = lambda a: jnp.asarray(a[: len(a) // B * B].reshape(-1, B, *a.shape[1:]), jnp.float32)
    X, y = (cut(problem.inner.arrays[name]) for name in ("features", "targets"))
    Xo, yo = (cut(problem.outer.arrays[name]) for name in ("features", "targets"))
    F = lambda z, X, y: jnp.mean(jax.nn.softplus(-y * (X @ z)))
    G = lambda z, x, X, y: F(z, X, y) + 0.5 * jnp.sum(jnp.exp(x) * z * z)
    grad_z = lambda z, x, i: jax.grad(G)(z, x, X[i], y[i])

    def soba(state, ids):
        (z, x, v), (i, j) = state, ids
        D_z, pullback = jax.vjp(lambda z, x: grad_z(z, x, i), z, x)
        Hv, Cv = pullback(v)
        f_z = jax.grad(F)(z, Xo[j], yo[j])
        return (z - 0.1 * D_z, x - 0.01 * Cv, v - 0.1 * (Hv + f_z)), None

    def stocbio(state, ids):
        (z, x, _), (i, j) = state, ids
        z, _ = jax.lax.scan(lambda z, k: (z - 0.1 * grad_z(z, x, k), None), z, i[:T])
        f_z = jax.grad(F)(z, Xo[j], yo[j])

        def term(rs, k):
            r, s = rs
            r = r - 0.1 * jax.jvp(lambda z: grad_z(z, x, k), (z,), (r,))[1]
            return (r, s + r), None

        (_, s), _ = jax.lax.scan(term, (f_z, f_z), i[T : T + Q])
        Cs = jax.vjp(lambda x: grad_z(z, x, i[-1]), x)[1](0.1 * s)[0]
        return (z, x + 0.01 * Cs, s), None

    loops = {}
    for name, step, draws in (("SOBA", soba, ()), ("StocBiO", stocbio, (T + Q + 1,))):
        inner_ids = jnp.asarray(rng.integers(0, len(X), (n_iter, *draws)), jnp.int32)
        ids = (inner_ids, jnp.asarray(rng.integers(0, len(Xo), n_iter), jnp.int32))
        state = tuple(jnp.zeros(D, jnp.float32) for _ in range(3))
        run = jax.jit(lambda s, ids, step=step: jax.lax.scan(step, s, ids)[0]).lower(state, ids).compile()
        loops[name] = lambda run=run, state=state, ids=ids: jax.block_until_ready(run(state, ids))
    return loops


def benchmark_loop(benchmark, problem, name, backend, n_iter):
    """Return a function that runs ``n_iter`` iterations of a solver of the benchmark, as `benchopt run` would."""
    (cls,) = {
        type(s) if not isinstance(s, type) else s for s in benchmark.check_solver_patterns([name], class_only=True)
    }
    solver = cls.get_instance(backend=backend, device="cpu")
    put_at_start(solver, problem, max_iterations=n_iter)
    return lambda: solver.run(lambda: True)


def best_microseconds(loops, rounds):
    """Return dict of name to the best time of one iteration, alternating between the loops."""
    best = dict.fromkeys(loops, math.inf)
    for _ in range(rounds):
        for name, (run, n_iter) in loops.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], 1e6 * (time.perf_counter() - start) / n_iter)
    return best


def main(rounds=7):
    """Print the table of times and ratios."""
    rng = np.random.default_rng(0)
    benchmark = Benchmark(".")
    ijcnn1, simulated = ijcnn1_shaped(rng), quadratic_problem(1024, 1024, 100, 100, 0.1, 1.0, 0.1, seed=2442)
    by_hand = hand_written(ijcnn1, rng, 1 << 15)
    loops = {f"hand-written JAX {name}": (run, 1 << 15) for name, run in by_hand.items()}
    for problem, name, backend, n_iter in (
        (ijcnn1, "SOBA", "jax", 1 << 16),
        (ijcnn1, "StocBiO", "jax", 1 << 14),
        (ijcnn1, "SABA", "jax", 1 << 15),
        (ijcnn1, "AmIGO", "jax", 1 << 14),
        (ijcnn1, "SOBA", "torch", 1 << 9),
        (ijcnn1, "SOBA", "torch-compiled", 1 << 14),
        (simulated, "SOBA", "jax", 1 << 13),
    ):
        loops[f"{name} {backend} {problem.name}"] = (benchmark_loop(benchmark, problem, name, backend, n_iter), n_iter)
    best = best_microseconds(loops, rounds)
    for name, time_of_one in best.items():
        print(f"{name:34s} {time_of_one:10.2f} us")
    print()
    for label, above, below, bar in (
        ("SOBA jax / hand-written", "SOBA jax ijcnn1_shaped", "hand-written JAX SOBA", "at most 1.3"),
        ("StocBiO jax / hand-written", "StocBiO jax ijcnn1_shaped", "hand-written JAX StocBiO", "at most 1.2"),
        ("SOBA torch / torch-compiled", "SOBA torch ijcnn1_shaped", "SOBA torch-compiled ijcnn1_shaped", "at least 10"),
    ):
        print(f"{label:34s} {best[above] / best[below]:10.2f}    bar: {bar}")
    print(f"{'SOBA jax simulated, 100 x 100':34s} {best['SOBA jax simulated']:10.2f} us bar: under 100 us")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
