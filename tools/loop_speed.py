"""Time one outer iteration of solvers, ledger and draws included, next to hand-written JAX loops.

The unit is one iteration of the SOBA loop below: the shortest `lax.scan` loop with automatic differentiation that does
the work of SOBA on data of IJCNN1's shape, with fixed blocks, no ragged end, no ledger and all draws on the device
beforehand. All timings alternate within one process, and the best of several rounds is kept. What is timed is the
processor time of the process: run it on one core (``taskset -c 0 python -m tools.loop_speed``), where it is the time
that a quiet core takes, even if the machine is shared.

Usage: python -m tools.loop_speed [units] [sweep] [memory] [data set ...] [rounds]

``units``: the table of solvers in units (default); ``sweep``: 5 x 5 configurations of SOBA with 10 seeds, at once
against one by one;
``memory``: microseconds of an iteration on problems bound by memory, and GB/s against a copy of the same bytes; of
data sets as `benchopt run -d` takes them ("mnist_poisoning[projection=sequential,exact=False]"), or of `MEMORY`.
"""

import itertools
import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils.problem.card import Card
from benchmark_utils.problem.problem import Problem
from benchmark_utils.running.memory import state_bytes
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.start import put_at_start, start_point
from benchmark_utils.running.sweep import Member, Sweep
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import ExpRidge
from tools import write_utf8
from tools.tune import instance

N, M, D, B, T, Q = 49_990, 91_701, 22, 64, 10, 10

#: Solver, backend, structure, iterations of one timing, units to reach.
TABLE = (
    ("SOBA", "jax", {}, 1 << 16, 0.95),
    ("SABA", "jax", {}, 1 << 15, 1.2),
    ("FSLA", "jax", {}, 1 << 15, 1.1),
    ("TTSA", "jax", {"n_neumann_steps": Q}, 1 << 15, 2.8),
    ("BSA", "jax", {"n_neumann_steps": Q}, 1 << 14, 5.0),
    ("SUSTAIN", "jax", {"n_neumann_steps": Q}, 1 << 14, 4.5),
    ("AmIGO", "jax", {}, 1 << 14, 7.0),
    ("StocBiO", "jax", {"n_neumann_steps": Q}, 1 << 14, 7.0),
    ("F2SA", "jax", {}, 1 << 13, 9.0),
    ("MRBO", "jax", {"n_neumann_steps": Q}, 1 << 14, 7.5),
    ("SRBA", "jax", {"period": 1107}, 1 << 14, 1.7),  # a full pass in an epoch
    ("SOBA", "torch", {}, 1 << 9, math.inf),
    ("SOBA", "torch-compiled", {}, 1 << 15, math.inf),
)


#: Data sets bound by memory, with the iterations of one timing.
MEMORY = {
    "mnist_cleaning": 1 << 11,
    "covtype": 1 << 11,
    "newsgroups20": 1 << 8,
    "mnist_poisoning[exact=False,retrain=0]": 1 << 4,
    "mnist_poisoning[projection=sequential,exact=False,retrain=0]": 1 << 5,
}


def ijcnn1_shaped(rng):
    """Return a problem of IJCNN1's shape, ragged ends included, with made-up rows."""
    w = rng.standard_normal(D)

    def split(n):
        features = rng.standard_normal((n, D))
        return {"features": features, "targets": np.sign(features @ w + rng.standard_normal(n))}

    start = lambda rng: (np.zeros(D), np.zeros(D))
    card = Card(title="IJCNN1-shaped", formula="", source="made up", licence="none needed")
    splits = {"train": split(N), "validation": split(M)}
    inner, outer = GLM("logistic", ExpRidge(1.0)), GLM("logistic")
    return Problem("ijcnn1_shaped", inner, outer, splits, (D,), (D,), init=start, evaluator=None, card=card)


def hand_written(problem, rng, n_iter):
    """Return dict of name to a function that runs ``n_iter`` iterations of a hand-written loop and waits."""
    cut = lambda a: jnp.asarray(a[: len(a) // B * B].reshape(-1, B, *a.shape[1:]), jnp.float32)
    X, y = (cut(problem.rows("inner")[name]) for name in ("features", "targets"))
    Xo, yo = (cut(problem.rows("outer")[name]) for name in ("features", "targets"))
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


def find(benchmark, name):
    """Return the class of a solver of the benchmark."""
    found = benchmark.check_solver_patterns([name], class_only=True)
    (cls,) = {s if isinstance(s, type) else type(s) for s in found}
    return cls


def benchmark_loop(benchmark, problem, name, backend, n_iter, structure):
    """Return a function that runs ``n_iter`` iterations of a solver of the benchmark, as `benchopt run` would."""
    cls = find(benchmark, name)
    steps = {"step_size": 1e-3} if "step_size" in cls.search_space else {}  # small, so that nothing diverges
    solver = cls.get_instance(backend=backend, **steps, **structure)
    reason = put_at_start(solver, problem, device="cpu", max_iterations=n_iter)
    if reason:
        raise SystemExit(reason)
    return lambda: solver.run(lambda: True)


def best_microseconds(loops, rounds):
    """Return dict of name to the best time of one iteration, alternating between the loops."""
    best = dict.fromkeys(loops, math.inf)
    for _ in range(rounds):
        for name, (run, n_iter) in loops.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], 1e6 * (time.process_time() - start) / n_iter)
    return best


def units(benchmark, problem, rng, rounds, only=()):
    """Print the table of solvers in units of the hand-written SOBA loop."""
    by_hand = hand_written(problem, rng, 1 << 15)
    loops = {f"hand-written {name}": (run, 1 << 15) for name, run in by_hand.items()}
    bars = {}
    for name, backend, structure, n_iter, bar in TABLE:
        if only and f"{name}/{backend}" not in only:
            continue
        label = f"{name} {backend}"
        loops[label], bars[label] = (benchmark_loop(benchmark, problem, name, backend, n_iter, structure), n_iter), bar
    best = best_microseconds(loops, rounds)
    unit = best["hand-written SOBA"]
    print(f"{'one iteration':28s} {'us':>9s} {'units':>7s} {'to reach':>9s}")
    for label, time_of_one in best.items():
        bar = bars.get(label, math.inf)
        print(f"{label:28s} {time_of_one:9.2f} {time_of_one / unit:7.2f} {bar if math.isfinite(bar) else '':>9}")
    if {"SOBA jax", "SOBA torch-compiled"} <= best.keys():
        ratio = best["SOBA torch-compiled"] / best["SOBA jax"]
        print(f"SOBA takes {ratio:.2f} times as long by torch-compiled as by jax (to reach: 3)")


def sweep(benchmark, problem, n_steps=5, n_ratios=5, n_seeds=10, n_iter=8192):
    """Print the time of many members of SOBA at once and one by one, in the same process."""
    grid = itertools.product(np.geomspace(1e-3, 1, n_steps), np.geomspace(1e-2, 1e2, n_ratios), range(n_seeds))
    members = [Member({"step_size": a, "outer_ratio": r}, seed) for a, r, seed in grid]
    rules = Rules(device="cpu", max_iterations=n_iter)
    solver, one = (find(benchmark, "SOBA").get_instance(backend="jax") for _ in range(2))
    solver.skip(problem.view, rules)
    together = Sweep(solver, problem.view, rules, lambda seed: start_point(problem, seed))
    together.run(members)
    put_at_start(one, problem, device="cpu", max_iterations=n_iter)

    def one_by_one():
        for member in members:
            one.program.set_values(member.values)
            one.program.place(*start_point(problem, member.seed), member.seed)
            one.run(lambda: True)

    best = best_microseconds({"together": (lambda: together.run(members), 1), "one by one": (one_by_one, 1)}, 3)
    seconds = {name: time_of_all / 1e6 for name, time_of_all in best.items()}
    print(
        f"{n_steps} x {n_ratios} configurations of SOBA, {n_seeds} seeds, {n_iter} iterations: together "
        f"{seconds['together']:.3f} s, one by one {seconds['one by one']:.3f} s, "
        f"{seconds['one by one'] / seconds['together']:.1f} times"
    )


def bytes_of_iteration(program):
    """Return the bytes that one iteration has to move: a block of each level read, the state read and written.

    Those of the feasible set are read too.
    """
    blocks = sum(a.nbytes for a in program.data["feasible"].values())
    for level, part in program.partitions.items():
        leaves = jax.tree.leaves(program.data[level])
        blocks += sum(leaf.nbytes for leaf in leaves) // part.n_blocks
    fields = state_bytes(program.roles, program.view, program.partitions, 4)
    return blocks + 2 * sum(fields.values())


def memory(benchmark, names=tuple(MEMORY)):
    """Print microseconds an iteration of SOBA on problems bound by memory, and GB/s beside a copy of as many bytes."""
    for name in names:
        data = instance(benchmark.check_dataset_patterns([name]), name).get_data()
        if data["problem"] is None:
            print(data["reason"])
            continue
        n_iter = MEMORY.get(name, 1 << 8)
        solver = find(benchmark, "SOBA").get_instance(backend="jax", step_size=1e-3)
        put_at_start(solver, data["problem"], device="cpu", max_iterations=n_iter)
        moved = bytes_of_iteration(solver.program)
        source, target = np.ones(moved // 2, np.uint8), np.empty(moved // 2, np.uint8)  # a copy reads and writes
        copies = max(1, int(1e8 // moved))
        copy = lambda source=source, target=target, n=copies: [np.copyto(target, source) for _ in range(n)]
        loops = {"SOBA": (lambda solver=solver: solver.run(lambda: True), n_iter), "copy": (copy, copies)}
        best = best_microseconds(loops, 3)
        rates = {k: moved / us / 1e3 for k, us in best.items()}
        print(
            f"{name}: {best['SOBA']:.1f} us an iteration, {moved / 1e6:.2f} MB moved, {rates['SOBA']:.2f} GB/s; "
            f"a copy of as many bytes {best['copy']:.1f} us, {rates['copy']:.2f} GB/s"
        )


def main(arguments):
    """Print what is asked for."""
    rng, benchmark = np.random.default_rng(0), Benchmark(".")
    rounds = next((int(a) for a in arguments if a.isdigit()), 7)
    problem = ijcnn1_shaped(rng)
    if "sweep" in arguments:
        sweep(benchmark, problem)
    if "memory" in arguments:
        known = {data_set.name for data_set in benchmark.get_datasets()}
        memory(benchmark, [a for a in arguments if a.split("[")[0] in known] or tuple(MEMORY))
    if "units" in arguments or not {"sweep", "memory"} & set(arguments):
        units(benchmark, problem, rng, rounds, [a for a in arguments if "/" in a])


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1:])
